// A client by npm ws: opens a WebSocket, sends messages, waits for as many, closes.
// Argument: a JSON object {url, protocols, headers, messages, count, size, pieces}: the messages
// one by one, then `count` binary ones of `size` bytes at once, each in so many frames. Prints a
// JSON object of what it saw.
'use strict';
const WebSocket = require('ws');
const { sendIn } = require('./pieces.js');

const wish = JSON.parse(process.argv[2]);
const messages = wish.messages || [];
const bulk = Array.from({ length: wish.count || 0 }, (_, i) => Buffer.alloc(wish.size || 0, i));
const seen = { received: [], bulkInOrder: 0, protocol: null, headers: null, code: null };

function finish(extra) {
  console.log(JSON.stringify({ ...seen, ...extra }));
  process.exit(0);
}

const socket = new WebSocket(wish.url, wish.protocols || [], { headers: wish.headers || {} });
socket.on('upgrade', (response) => { seen.headers = response.rawHeaders; });
socket.on('unexpected-response', (_, response) => finish({ status: response.statusCode }));
socket.on('error', (error) => finish({ error: error.message }));
socket.on('close', (code) => finish({ code }));
socket.on('open', () => {
  seen.protocol = socket.protocol;
  next();
});
socket.on('message', (data, isBinary) => {
  if (!isBinary) {
    seen.received.push(data.toString());
  } else if (data.equals(bulk[seen.bulkInOrder] || Buffer.from('?'))) {
    seen.bulkInOrder += 1;
  }
  next();
});

let bulkSent = false;
function next() {
  if (seen.received.length < messages.length) {
    socket.send(messages[seen.received.length]);
  } else if (!bulkSent && bulk.length) {
    bulkSent = true;
    bulk.forEach((data) => sendIn(socket, data, true, wish.pieces || 1));
  } else if (seen.bulkInOrder === bulk.length) {
    socket.close(1000);
  }
}
