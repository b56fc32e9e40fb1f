// What instructions.sh counts under callgrind: the user-space instructions of deliveries. Run by itself it only says
// how many deliveries it made.

#include <downlink/downlink.hpp>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "figures.hpp"
#include "fixture.hpp"

namespace {

namespace net = downlink::net;

constexpr std::size_t subscribers = 1000;

/// Subscribers that never read: all that is sent to them has room in the kernel, so that nothing of the machine's pace
/// shows in the count.
struct Subscribers {
  Subscribers(std::uint16_t port, const std::string& request) {
    for (std::size_t i = 0; i < subscribers; ++i) {
      // Of a loop of their own, which never runs.
      auto& socket = sockets.emplace_back(io);
      socket.connect({net::ip::address_v4::loopback(), port});
      socket.send(net::buffer(request));
    }
  }
  net::io_context io{};
  std::vector<net::ip::tcp::socket> sockets{};
};

/// Publishes `rounds` times so many messages, and lets everybody have them each time.
void deliver(Fixture& fixture, std::size_t rounds, std::size_t in_flight) {
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < in_flight; ++i) fixture.publisher.publish({.data = std::string(128, 'x')});
    fixture.io.poll();
  }
}

}  // namespace

/// What is counted, by this name.
extern "C" [[gnu::noinline]] void measured_part(Fixture& fixture, std::size_t rounds, std::size_t in_flight) {
  deliver(fixture, rounds, in_flight);
}

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: benchmark_instructions websocket|sse IN_FLIGHT ROUNDS\n";
    return 2;
  }
  const bool websocket = std::string_view(argv[1]) == "websocket";
  const std::size_t in_flight = std::stoul(argv[2]);
  const std::size_t rounds = std::stoul(argv[3]);
  Fixture fixture;
  const Subscribers all(fixture.server.port(), websocket ? websocket_request : sse_request);
  fixture.run_until(subscribers);
  deliver(fixture, 1, in_flight);  // what is made once is made here
  const auto before = fixture.server.stats().messages_sent;
  measured_part(fixture, rounds, in_flight);
  std::cout << fixture.server.stats().messages_sent - before << '\n';
}
