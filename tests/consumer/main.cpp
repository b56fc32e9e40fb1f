// The program that every way of consuming the library builds and runs.
#include <downlink/downlink.hpp>
#ifdef CONSUMER_CLIENT
#include "downlink_client.hpp"

static_assert(downlink_js.find("export class Downlink") != downlink_js.npos);
#endif

int main() {
  downlink::net::io_context io;
  downlink::Channel prices{{.history = {.max_messages = 1000}}};
  downlink::Server<downlink::Sse> server{io, {.port = 0}};
  server.route("/prices", prices);
  server.start();
  downlink::Publisher publisher{prices};
  const auto published = publisher.publish({.data = R"({"symbol":"BTC","price":42000})", .event = "price"});
  io.poll();
  return published && prices.history_size() == 1 && server.port() != 0 ? 0 : 1;
}
