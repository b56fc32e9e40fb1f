// Plain Node: a response kept open and written to.
const http = require('node:http');
const {serve, authorization} = require('./control.cjs');

const streams = new Set();
const server = http.createServer((request, response) => {
  if (request.headers.authorization !== authorization) return response.writeHead(401).end();
  response.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache'});
  response.write(': open\n\n');
  streams.add(response);
  response.on('close', () => streams.delete(response));
});
serve(server, (message, number) => {
  const event = `id: ${number}\ndata: ${message}\n\n`;
  for (const stream of streams) stream.write(event);
});
