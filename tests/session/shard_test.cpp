#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <downlink/channel/channel.hpp>
#include <downlink/channel/publisher.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/transport/websocket.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace std::chrono_literals;

namespace {

struct Busy final : Deadline {
  void expired() override {
    ++*count;
    const auto end = std::chrono::steady_clock::now() + 200us;
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  int* count = nullptr;
};

/// Has everything as soon as it is visited.
struct Reader final : Subscriber {
  void advance(Entry& visited) override { visited.next = visited.feed->owner().channel()->head() + 1; }
  void lagging(Entry&) override {}
  void expired() override {}

  void rejoin(Shard& shard, const Channel& channel) {
    entry.leave();
    entry.join(shard.feed(ChannelAccess::state(channel)).form(&form_ops<WebSocketRaw>, {}), {}, DefaultStart::latest);
  }

  Entry entry{*this};
};

/// A channel and a subscriber that holds an encoding which the channel's cache has dropped, against its bound.
struct Pinned {
  Channel channel{{.max_encoded = 1, .max_pinned = 0}};
  Range range;
  Reader reader;

  void start(Shard& shard) {
    const auto& state = ChannelAccess::state(channel);
    Publisher(channel).publish({.data = "held"});
    state->read(&form_ops<WebSocketRaw>, 1, {}, range);
    for (int i = 0; i < 100 && !state->pins_too_much(); ++i) {
      Publisher(channel).publish({.data = std::string(64 << 10, '.')});
      Range other;
      state->read(&form_ops<WebSocketRaw>, state->head(), {}, other);
    }
    REQUIRE(state->pins_too_much());
    reader.rejoin(shard, channel);
  }
};

/// Stands for a session that calls the application back when it is told to let go.
struct Callback final : Hold {
  void let_go(const EncodedUse&) override { call(); }
  std::function<void()> call;
};

}  // namespace

TEST_CASE("deadlines that fall due together leave the application's handlers their turns", "[session][DESIGN-3.7]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  int expired = 0;
  std::array<Busy, 200> crowd;
  for (auto& one : crowd) {
    one.count = &expired;
    shard->set(one, 100ms);
  }
  int turns = 0;
  const std::function<void()> tick = [&] {
    if (expired > 0) ++turns;
    if (expired < 200) net::post(io, tick);
  };
  tick();
  io.run();
  CHECK(expired == 200);
  CHECK(turns >= 30);  // a millisecond's worth at a time, five of them
}

TEST_CASE("who joins a channel in a callback, while the shard forgets it, is told of its news", "[session]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  std::array<Pinned, 2> pinned;
  for (auto& one : pinned) one.start(*shard);
  Channel channel;
  Reader reader;
  reader.rejoin(*shard, channel);
  io.poll();

  int calls = 0;
  Callback session;
  session.call = [&] {
    // The first is called before the shard forgets channels without subscribers, the second while it does.
    if (++calls == 1) Publisher(pinned[1].channel).publish({.data = "news"});
    if (calls == 2) reader.rejoin(*shard, channel);
  };
  shard->pin(session);
  shard->post([&] {
    reader.entry.leave();
    Publisher(pinned[0].channel).publish({.data = "news"});
  });
  io.restart();
  io.poll();
  REQUIRE(calls >= 2);
  Publisher(channel).publish({.data = "news"});
  io.restart();
  io.poll();
  CHECK(reader.entry.next == 2);

  reader.entry.leave();
  for (auto& one : pinned) one.reader.entry.leave();
}

TEST_CASE("a subscriber misses no news while another channel's last one leaves and its next one joins", "[session]") {
  constexpr int rounds = 200'000;
  std::array<Channel, 2> channels;
  Reader staying;
  Reader restless;
  testing::Loop loop;
  const auto shard = std::make_shared<Shard>(loop.context(), true);
  shard->post([&] { staying.rejoin(*shard, channels[0]); });
  std::atomic<int> round = 0;
  const std::function<void()> rejoin = [&] {
    restless.rejoin(*shard, channels[1]);
    if (++round < rounds) shard->post(rejoin);
  };
  shard->post(rejoin);
  {
    const std::jthread publishing([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (const auto& channel : channels) Publisher(channel).publish({.data = "news"});
      }
    });
    REQUIRE(testing::eventually([&] { return round == rounds; }, 60s));
  }
  const auto has_all = [&](const Reader& reader, const Channel& channel) {
    return reader.entry.next == ChannelAccess::state(channel)->head() + 1;
  };
  CHECK(testing::eventually([&] { return loop.run_on([&] { return has_all(staying, channels[0]); }); }));
  CHECK(testing::eventually([&] { return loop.run_on([&] { return has_all(restless, channels[1]); }); }));
  loop.run_on([&] {
    staying.entry.leave();
    restless.entry.leave();
  });
}
