// What compile_time.sh measures: a program of one SSE server.
#include <downlink/downlink.hpp>

int main() {
  asio::io_context io;
  downlink::Channel prices{{.history = {.max_messages = 1000}}};
  downlink::Server<downlink::Sse> server{io, {.port = 8080}};
  server.route("/prices", prices);
  server.start();
  downlink::Publisher publisher{prices};
  publisher.publish({.data = R"({"symbol":"BTC","price":42000})", .event = "price"});
  io.run();
}
