// Short polling: each request is answered at once. The answer's cursor goes into the next request.
//   curl 'http://127.0.0.1:8080/prices?cursor=earliest'

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <downlink/downlink.hpp>

// Publishes a price each second.
asio::awaitable<void> publish_prices(downlink::Publisher publisher) {
  asio::steady_timer timer{co_await asio::this_coro::executor};
  std::minstd_rand random{std::random_device{}()};
  for (int price = 42000;; price += std::uniform_int_distribution{-50, 50}(random)) {
    publisher.publish({.data = R"({"symbol":"BTC","price":)" + std::to_string(price) + "}", .event = "price"});
    timer.expires_after(std::chrono::seconds{1});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel prices;
  downlink::Server<downlink::ShortPolling> server{io, {.port = port}};
  server.route("/prices", prices);
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/prices" << std::endl;

  asio::co_spawn(io, publish_prices(downlink::Publisher{prices}), asio::detached);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
