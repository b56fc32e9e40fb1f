// A server that thousands of bad clients use while two threads publish: chaos [--clients N] [--seconds N] [--seed N]
// [--memory MIB], past which it may not grow.
//
// At the end each client's record has to be exact, and nothing may be left of any of them. Ends with 0, or by abort
// with a sentence on stderr. For long runs: `chaos --seconds 600`.

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include <downlink/downlink.hpp>

#include "chaos/swarm.hpp"
#include "support/loop.hpp"

using namespace downlink;
using namespace downlink::chaos;
using namespace std::chrono_literals;

namespace {

struct Options {
  std::size_t clients = 2000;
  std::size_t seconds = 20;
  std::uint32_t seed = std::random_device{}();
  std::size_t memory = ~std::size_t{0};

  Options(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
      const std::string_view name = argv[i];
      const auto value = std::stoul(argv[i + 1]);
      if (name == "--clients") clients = value;
      if (name == "--seconds") seconds = value;
      if (name == "--memory") memory = value;
      if (name == "--seed") seed = static_cast<std::uint32_t>(value);
    }
  }
};

std::size_t descriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(open), end(open)));
}

/// Memory that is in use, in MiB.
std::size_t resident() {
  std::size_t total = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> total >> pages;
  return pages * 4096 >> 20;
}

/// How many clients the descriptors are enough for, two for each.
std::size_t affordable(std::size_t clients) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(clients, (limit.rlim_cur - 100) / 3);
}

ChannelOptions channel_options(LagPolicy policy) {
  return {.history = {.max_messages = 60, .max_bytes = 256 << 10},
          .max_lag = 64 << 10,
          .max_lag_messages = 64,
          .lag_policy = policy,
          .max_encoded = 1 << 20};
}

void publish(unsigned publisher, std::uint32_t seed, const std::array<Channel, 2>& channels,
             std::array<Record, 2>& records, const std::atomic<bool>& stop) {
  Random random(seed);
  for (std::uint32_t number = 1; !stop;) {
    for (auto burst = 1 + below(random, one_in(random, 20) ? 60 : 8); burst > 0; --burst, ++number) {
      const std::size_t filler = one_in(random, 100)  ? 20'000 + below(random, 40'000)
                                 : one_in(random, 10) ? below(random, 4000)
                                                      : below(random, 300);
      const auto channel = below(random, 2);
      const auto id = Publisher(channels[channel]).publish({.data = make_payload(publisher, number, filler)});
      demand(static_cast<bool>(id), "publishing failed");
      records[channel].add(id.value().offset, std::uint64_t{publisher} << 32 | number);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + below(random, 120)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options(argc, argv);
  options.clients = affordable(options.clients);
  std::printf("chaos: %zu clients, %zu s, --seed %u\n", options.clients, options.seconds, options.seed);
  std::fflush(stdout);
  const auto descriptors_before = descriptors();
  const auto memory_before = resident();
  {
    const std::array<Channel, 2> channels{Channel(channel_options(LagPolicy::disconnect)),
                                          Channel(channel_options(LagPolicy::skip))};
    std::array<Record, 2> records;
    testing::Loop loop(2);
    Server<WebSocket, Sse, LongPolling, ShortPolling> server(
        loop.contexts(), {.endpoint = {.stream = {.heartbeat = 1s, .write_timeout = 3s},
                                       .head_timeout = 1s,
                                       .body_timeout = 1s,
                                       .linger_timeout = 500ms,
                                       .socket = {.unsent_bytes = 16 << 10},
                                       .one_thread = options.seed % 2 == 0}});
    std::atomic<long> subscribed = 0;
    for (std::size_t i = 0; i < 2; ++i) server.route(Swarm::paths[i], channels[i]);
    server.on_message("/drop", [](const Peer&, const Inbound&) {});
    server.on_subscribe([&](const Peer&) { ++subscribed; });
    server.on_unsubscribe([&](const Peer&, EndReason) { --subscribed; });
    server.start();

    Swarm swarm(server.port(), options.clients, options.seed);
    std::atomic<bool> stop = false;
    {
      std::vector<std::jthread> publishers;
      for (unsigned i = 1; i <= 2; ++i) {
        publishers.emplace_back([&, i] { publish(i, options.seed + i, channels, records, stop); });
      }
      const std::jthread clock([&] {
        std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
        stop = true;
      });
      swarm.rage(stop);
    }
    const auto memory = resident();
    swarm.catch_up({channels[0].latest().offset, channels[1].latest().offset});

    const auto gone = [&] {
      return server.connection_count() == 0 && channels[0].subscriber_count() == 0 &&
             channels[1].subscriber_count() == 0 && subscribed == 0;
    };
    demand(testing::eventually(gone, 30s), "a connection or a subscriber is left");
    for (std::size_t i = 0; i < 2; ++i) {
      const auto& seen = swarm.seen(i);
      seen.judge(records[i]);
      std::printf("%s: %llu published, %llu read and %llu raw, %llu resumes, %llu gaps over %llu messages\n",
                  Swarm::paths[i], static_cast<unsigned long long>(channels[i].latest().offset),
                  static_cast<unsigned long long>(seen.messages), static_cast<unsigned long long>(seen.raw_messages),
                  static_cast<unsigned long long>(seen.resumes), static_cast<unsigned long long>(seen.gaps),
                  static_cast<unsigned long long>(seen.lost));
      demand(seen.messages > 0 && seen.raw_messages > 0 && seen.resumes > 0, "it was too quiet");
    }
    demand(swarm.seen(0).gaps + swarm.seen(1).gaps > 0, "nobody came too late");
    std::printf("%llu connections, memory %zu MiB, before %zu MiB\n",
                static_cast<unsigned long long>(swarm.connections()), memory, memory_before);
    demand(memory - std::min(memory, memory_before) <= options.memory, "it takes too much memory");
  }
  demand(descriptors() == descriptors_before, "descriptors are left open");
  return 0;
}
