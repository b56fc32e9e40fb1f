// What instructions.sh counts under callgrind: the user-space instructions of deliveries and polls. Run by itself it
// only says how many it made.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "figures.hpp"
#include "fixture.hpp"

/// Publishes, and lets everybody have it, or takes what was asked.
inline void step(Fixture& fixture, std::size_t messages) {
  for (std::size_t i = 0; i < messages; ++i) fixture.publisher.publish({.data = std::string(128, 'x')});
  fixture.io.poll();
}
/// The same, which is counted, by this name.
extern "C" [[gnu::noinline]] void measured_part(Fixture& fixture, std::size_t messages) { step(fixture, messages); }

namespace {

namespace net = downlink::net;

/// Clients whose sockets belong to a loop that never runs: nothing of the machine's pace shows in the count.
struct Clients {
  Clients(std::uint16_t port, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) sockets.emplace_back(io).connect({net::ip::address_v4::loopback(), port});
  }
  net::io_context io{};
  std::vector<net::ip::tcp::socket> sockets{};
};

/// To subscribers that never read, as all that is sent to them has room in the kernel.
std::uint64_t deliveries(Fixture& fixture, const std::string& request, std::size_t in_flight, std::size_t rounds) {
  Clients clients(fixture.server.port(), 1000);
  for (auto& socket : clients.sockets) socket.send(net::buffer(request));
  fixture.run_until(clients.sockets.size());
  step(fixture, in_flight);  // what is made once is made here
  const auto before = fixture.server.stats().messages_sent;
  for (std::size_t round = 0; round < rounds; ++round) measured_part(fixture, in_flight);
  return fixture.server.stats().messages_sent - before;
}

/// Polls that are answered with `messages` published after they were held, or at once with nothing where it is 0.
std::uint64_t polls(Fixture& fixture, std::size_t messages, std::size_t rounds) {
  Clients clients(fixture.server.port(), 200);
  std::vector<std::string> cursors(clients.sockets.size(), "latest");
  std::string answer(65536, '\0');
  const auto ask_all = [&](auto take) {
    for (std::size_t i = 0; i < cursors.size(); ++i) {
      clients.sockets[i].send(net::buffer("GET /feed?" + std::string(messages > 0 ? "wait=60&" : "") +
                                          "cursor=" + cursors[i] + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    }
    take(fixture, 0);
    if (messages > 0) take(fixture, messages);
    for (std::size_t i = 0; i < cursors.size(); ++i) {
      const std::string_view text(answer.data(), clients.sockets[i].receive(net::buffer(answer)));
      constexpr std::string_view member = "\"cursor\":\"";
      const auto begin = text.find(member) + member.size();
      cursors[i] = text.substr(begin, text.find('"', begin) - begin);
    }
  };
  // They are accepted, and get their cursors.
  fixture.io.run_for(std::chrono::milliseconds(300));
  ask_all(step);
  const auto before = fixture.server.stats().requests;
  for (std::size_t round = 0; round < rounds; ++round) ask_all(measured_part);
  return fixture.server.stats().requests - before;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: benchmark_instructions websocket|sse|polls MESSAGES ROUNDS\n";
    return 2;
  }
  const std::string_view kind = argv[1];
  const std::size_t messages = std::stoul(argv[2]);
  const std::size_t rounds = std::stoul(argv[3]);
  Fixture fixture;
  std::cout << (kind == "polls"
                    ? polls(fixture, messages, rounds)
                    : deliveries(fixture, kind == "sse" ? sse_request : websocket_request, messages, rounds))
            << '\n';
}
