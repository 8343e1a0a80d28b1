// Sends a message in so many frames, by npm ws.
'use strict';

exports.sendIn = (socket, data, binary, pieces) => {
  const size = Math.max(1, Math.ceil(data.length / pieces));
  let at = 0;
  do {
    socket.send(data.subarray(at, at + size), { binary, fin: at + size >= data.length });
    at += size;
  } while (at < data.length);
};
