// Several io_contexts, each run by one thread: one shard for each, connections are spread over them, and nothing is
// locked while a message is sent. A channel is one for all.
//   curl -N http://127.0.0.1:8080/prices

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  constexpr int threads = 4;
  std::deque<asio::io_context> loops;
  downlink::Contexts contexts;
  for (int i = 0; i < threads; ++i) contexts.emplace_back(loops.emplace_back(1));

  downlink::Channel prices;
  downlink::Server<downlink::Sse, downlink::WebSocket> server{contexts,
                                                              {.port = port, .endpoint = {.one_thread = true}}};
  server.route("/prices", prices);
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/prices" << std::endl;

  // A loop that has no connection yet has nothing to do, and is to stay all the same.
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> work;
  for (auto& loop : loops) work.push_back(asio::make_work_guard(loop));
  std::vector<std::jthread> running;
  for (auto& loop : loops) running.emplace_back([&loop] { loop.run(); });

  const downlink::Publisher publisher{prices};
  for (int price = 42000;; ++price) {
    publisher.publish({.data = std::to_string(price)});
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
