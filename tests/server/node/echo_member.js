// A member by npm ws: sends back every message, and answers plain HTTP on the same port.
// Prints its port. Arguments: [path of a unix socket]. With TLS if the environment names the files
// TLS_CERTIFICATE and TLS_KEY; with DEFLATE it agrees to permessage-deflate; with PIECES each
// message goes back in so many frames.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const https = require('https');
const { WebSocketServer } = require('ws');
const { sendIn } = require('./pieces.js');

const tls = process.env.TLS_KEY && {
  cert: fs.readFileSync(process.env.TLS_CERTIFICATE), key: fs.readFileSync(process.env.TLS_KEY),
};
const scheme = tls ? 'https' : 'http';

// Every request is answered with what arrived, so that two ways to this member can be compared.
function echoRequest(request, response) {
  const hash = crypto.createHash('sha256');
  let length = 0;
  request.on('data', (data) => { hash.update(data); length += data.length; });
  request.on('end', () => {
    const status = Number((/^\/status\/(\d+)/.exec(request.url) || [0, 200])[1]);
    const seen = JSON.stringify({
      method: request.method, url: request.url, version: request.httpVersion,
      headers: request.rawHeaders, length, hash: hash.digest('hex'),
    });
    response.statusCode = status;
    response.setHeader('X-Member', 'node');
    response.setHeader('Set-Cookie', ['a=1; Path=/', 'b=2; Path=/deep']);
    response.setHeader('Location', `${scheme}://${request.headers.host}/elsewhere`);
    response.setHeader('Content-Type', 'application/json');
    if (!request.url.startsWith('/chunked')) response.setHeader('Content-Length', seen.length);
    response.end(seen);
  });
}

const server = tls ? https.createServer(tls, echoRequest) : http.createServer(echoRequest);
const sockets = new WebSocketServer({
  server, maxPayload: 64 * 1024 * 1024, perMessageDeflate: Boolean(process.env.DEFLATE),
  handleProtocols: (protocols) => [...protocols].pop(),  // The last one that is offered.
});
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => {
    sendIn(socket, data, isBinary, Number(process.env.PIECES || 1));
  });
  socket.on('error', () => {});
});
const where = process.argv[2] ? [process.argv[2]] : [0, '127.0.0.1'];
server.listen(...where, () => console.log(server.address().port || 'ready'));
