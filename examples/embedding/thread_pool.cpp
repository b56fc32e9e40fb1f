// One io_context that several threads run. The server keeps to one of them at a time, which is its default, so handlers
// of one server never run beside each other; the application's own work does.
//   curl -N http://127.0.0.1:8080/numbers
//   curl -d 27644437 http://127.0.0.1:8080/numbers

#include <cstdint>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

bool is_prime(std::uint64_t number) {
  for (std::uint64_t i = 2; i * i <= number; ++i) {
    if (number % i == 0) return false;
  }
  return number > 1;
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel numbers;
  downlink::Server<downlink::Sse, downlink::ShortPolling> server{io, {.port = port}};
  server.route("/numbers", numbers);
  int taken = 0;  // needs no lock
  server.on_message("/numbers", [&](downlink::Peer, downlink::Inbound message) -> downlink::Reply {
    const auto number = std::strtoull(message.data.c_str(), nullptr, 10);
    if (number > 1'000'000'000'000) return downlink::Reply::refuse(400, "that would take too long");
    ++taken;
    // What takes long goes to another thread of the pool; a publisher may be used from there.
    asio::post(io, [number, publisher = downlink::Publisher{numbers}] {
      publisher.publish({.data = std::to_string(number) + (is_prime(number) ? " is prime" : " is not prime")});
    });
    return downlink::Message{.data = "number " + std::to_string(taken)};
  });
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << "/numbers" << std::endl;

  std::vector<std::jthread> pool;
  for (int i = 0; i < 4; ++i) pool.emplace_back([&io] { io.run(); });
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
