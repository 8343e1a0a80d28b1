// A member by socket.io. Prints its port. Argument: its name, which it says to each client. A
// session is known to the one process that made it: what others get of it they refuse with 400.
'use strict';
const http = require('http');
const { Server } = require('socket.io');

const name = process.argv[2];
const server = http.createServer();
// A poll whose client has gone is answered soon, so that httpd can stop.
const io = new Server(server, { pingInterval: 2000, pingTimeout: 60000 });
io.on('connection', (socket) => {
  socket.on('echo', (text, answer) => answer({ text, name, by: socket.conn.transport.name }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
