#include <cstdlib>
#include <downlink/downlink.hpp>

#include "downlink_client.hpp"

int main() {
  asio::io_context io;
  downlink::Channel channel;
  downlink::Server<downlink::Sse> server{io, {.port = 0}};
  server.route("/news", channel);
  server.start();
  io.poll();
  return downlink_js.empty() || server.port() == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
