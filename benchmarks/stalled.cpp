// What subscribers that stop reading cost: readers come one after another while 200 MB are published, so that each is
// stopped inside another part of the log. Prints how much the server grew, and what the kernel holds for each on the
// server's side. See README.md here.
//   benchmark_stalled [200|5000]

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "crowd.hpp"
#include "figures.hpp"

namespace {

using namespace std::chrono_literals;

/// The most bytes that the kernel holds in one of the server's sockets, as `ss` tells.
std::size_t most_in_kernel(std::uint16_t port) {
  const std::string command = "ss -tmnH state established '( sport = :" + std::to_string(port) + " )' 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), &::pclose);
  std::size_t most = 0;
  char line[1024];
  while (output && std::fgets(line, sizeof line, output.get())) {
    const std::string text(line);
    const auto at = text.find(",w");
    if (at != std::string::npos) most = std::max<std::size_t>(most, std::strtoul(text.c_str() + at + 2, nullptr, 10));
  }
  return most;
}

void measure(std::uint32_t readers, std::size_t message, downlink::LagPolicy policy) {
  constexpr std::size_t published = 200'000'000;
  Crowd crowd;
  downlink::net::io_context io{1};
  downlink::Channel channel({.lag_policy = policy});
  const downlink::Publisher publisher(channel);
  // Nobody is let go for taking no bytes: they all stay until the end.
  downlink::Server<downlink::WebSocket, downlink::Sse> server{
      io,
      {.endpoint = {
           .stream = {.heartbeat = 600s, .write_timeout = 600s}, .socket = {.user_timeout = 0s}, .one_thread = true}}};
  server.route("/feed", channel);
  std::size_t requests = 0;
  server.authorize([&](const downlink::RequestHead&) {
    ++requests;
    return downlink::allow();
  });
  server.start();
  const auto publish = [&](std::size_t bytes) {
    for (std::size_t sent = 0; sent < bytes; sent += message) {
      publisher.publish({.data = std::string(message, 'x')});
      io.poll();
    }
  };
  const auto connect = [&](std::uint32_t count, Crowd::Reads reads) {
    const std::size_t before = requests;
    crowd.connect(server.port(), count, sse_request, reads);
    while (requests < before + count) io.run_one_for(10ms);
    io.poll();
  };

  connect(1, Crowd::Reads::everything);
  publish(100'000'000);  // the log and its encodings fill their bounds
  const double before = rss_bytes();
  constexpr std::uint32_t steps = 200;
  for (std::uint32_t step = 0; step < steps; ++step) {
    connect(readers / steps, Crowd::Reads::nothing);
    publish(published / steps);
  }
  const double grown = rss_bytes() - before;
  const double allowed = 16.0 * 1024 * 1024 + 1024.0 * readers;
  std::cout << readers << " stalled readers, " << message << " bytes a message, "
            << (policy == downlink::LagPolicy::skip ? "skip" : "disconnect") << ": " << server.connection_count() - 1
            << " still connected, grown by " << grown / 1024 / 1024 << " MiB of " << allowed / 1024 / 1024
            << " MiB allowed, at most " << most_in_kernel(server.port()) / 1024 << " KiB in the kernel for one\n";
}

}  // namespace

int main(int argc, char** argv) {
  const auto given = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  raise_file_limit();
  for (const std::uint32_t readers : {200U, 5000U}) {
    for (const std::size_t message : {std::size_t{128}, std::size_t{1024}, std::size_t{50'000}}) {
      for (const auto policy : {downlink::LagPolicy::disconnect, downlink::LagPolicy::skip}) {
        if (given == 0 || given == readers) apart([&] { measure(readers, message, policy); });
      }
    }
  }
}
