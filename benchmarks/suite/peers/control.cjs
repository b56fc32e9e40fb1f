// The control port, as ../control.hpp describes it.
const net = require('node:net');

exports.authorization = 'Bearer benchmark';

/** Lets the server listen, and calls publish(message, number) as the control port demands. */
exports.serve = (server, publish) => {
  let number = 0;
  const control = net.createServer((socket) => {
    let received = '';
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const lines = (received + bytes).split('\n');
      received = lines.pop();
      for (const line of lines) {
        const [command, count, size] = line.split(' ');
        for (let i = 0; command === 'publish' && i < Number(count); ++i) {
          number += 1;
          publish(String(number).padStart(16, '0').padEnd(Number(size), 'x'), number);
        }
      }
    });
  });
  server.keepAliveTimeout = 0;
  server.listen({port: 0, host: '127.0.0.1', backlog: 4096}, () => {
    control.listen(0, '127.0.0.1', () => console.log(server.address().port, control.address().port));
  });
};
