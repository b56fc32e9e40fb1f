// What a consumer's program has to name to have a round's sends made by io_uring.
#include <downlink/downlink.hpp>
#include <downlink/io_uring.hpp>

int main() {
  downlink::net::io_context io;
  downlink::Channel prices;
  downlink::Server<downlink::Sse> server{io, {.port = 0}};
  downlink::enable_io_uring(server);  // where the system refuses, all goes on without
  server.route("/prices", prices);
  server.start();
  io.poll();
  return server.port() != 0 ? 0 : 1;
}
