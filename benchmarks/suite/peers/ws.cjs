// Node with the package ws.
const http = require('node:http');
const {WebSocketServer} = require('ws');
const {serve, authorization} = require('./control.cjs');

const server = http.createServer();
const sockets = new WebSocketServer({noServer: true, perMessageDeflate: false});
server.on('upgrade', (request, socket, head) => {
  if (request.headers.authorization !== authorization) return socket.destroy();
  sockets.handleUpgrade(request, socket, head, (client) => client.on('error', () => {}));
});
serve(server, (message) => {
  for (const client of sockets.clients) client.send(message);
});
