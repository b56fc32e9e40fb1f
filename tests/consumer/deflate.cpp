// What a consumer's program has to name to have permessage-deflate.
#include <downlink/deflate.hpp>
#include <downlink/downlink.hpp>

int main() {
  downlink::net::io_context io;
  downlink::Channel prices;
  downlink::Server<downlink::WebSocket> server{io, {.port = 0}};
  downlink::enable_deflate(server);
  server.route("/prices", prices);
  server.start();
  io.poll();
  return server.port() != 0 ? 0 : 1;
}
