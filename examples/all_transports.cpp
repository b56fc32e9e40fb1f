// One channel over all four transports; each request decides which one it gets. The publisher is on another thread.
//   curl 'http://127.0.0.1:8080/prices?cursor=earliest'                         short polling
//   curl 'http://127.0.0.1:8080/prices?wait=10'                                 long polling
//   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/prices         Server-Sent Events
//   websocat ws://127.0.0.1:8080/prices                                         WebSocket

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <stop_token>
#include <string>
#include <thread>

#include <downlink/downlink.hpp>

// Publishes a price each second. A publisher may be used on any thread, and never waits for a subscriber.
void publish_prices(std::stop_token stop, downlink::Publisher publisher) {
  std::minstd_rand random{std::random_device{}()};
  for (int price = 42000; !stop.stop_requested(); price += std::uniform_int_distribution{-50, 50}(random)) {
    publisher.publish({.data = R"({"symbol":"BTC","price":)" + std::to_string(price) + "}", .event = "price"});
    std::this_thread::sleep_for(std::chrono::seconds{1});
  }
}

int main(int argc, char** argv) try {
  using namespace downlink;
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  Channel prices;
  Server<WebSocket, Sse, LongPolling, ShortPolling> server{io, {.port = port}};
  server.route("/prices", prices);
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/prices" << std::endl;

  const std::jthread thread{publish_prices, Publisher{prices}};
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
