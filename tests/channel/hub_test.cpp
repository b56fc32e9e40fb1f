#include <downlink/channel/hub.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <downlink/channel/publisher.hpp>

#include "support/catch.hpp"
#include "support/manual_clock.hpp"

using namespace std::chrono_literals;
using namespace downlink;

namespace {

constexpr StartRequest from_latest{StartRequest::Kind::latest, {}, 0};

/// A hub whose time is moved by hand.
struct HubFixture {
  explicit HubFixture(HubOptions options = {}) : clock(std::make_shared<testing::ManualClock>()) {
    options.channel.clock = clock;
    hub.emplace(options);
  }
  /// The epoch of a name's channel, which tells its incarnations apart; no handle is kept.
  std::uint64_t epoch(std::string_view name) const { return hub->open(name).value().latest().epoch; }

  std::shared_ptr<testing::ManualClock> clock;
  std::optional<Hub> hub;
};

}  // namespace

TEST_CASE("a channel's name is 1 to 128 of the characters that a path segment has unescaped", "[channel][WIRE-10]") {
  for (const std::string name : {"a", "Z", "0", "a.b", "...", ".a", "a_b~c-d", "-", "_", "~"}) {
    CAPTURE(name);
    CHECK(Hub::valid_name(name));
  }
  CHECK(Hub::valid_name(std::string(128, 'a')));
  for (const std::string name : {"",    ".",   "..",  " ",   "a b", "a/b", "a%20", "a\n", "\xc3\xa9", "a?b",
                                 "a#b", "a:b", "a+b", "a,b", "a@b", "*",   "[",    "`",   "{",        "/"}) {
    CAPTURE(name);
    CHECK_FALSE(Hub::valid_name(name));
  }
  CHECK_FALSE(Hub::valid_name(std::string(129, 'a')));
  CHECK_FALSE(Hub::valid_name(std::string("a\0b", 3)));
}

TEST_CASE("a name that is not allowed opens nothing", "[channel][WIRE-10]") {
  const Hub hub;
  CHECK(hub.open("a b").error() == make_error_code(errc::bad_channel_name));
  CHECK(hub.open("").error() == make_error_code(errc::bad_channel_name));
  CHECK(hub.size() == 0);
}

TEST_CASE("one name is one channel, and another name is another", "[channel][DESIGN-4]") {
  const Hub hub;
  const Channel a = hub.open("a").value();
  CHECK(hub.open("a").value() == a);
  CHECK_FALSE(hub.open("b").value() == a);
  CHECK_FALSE(hub.open("A").value() == a);
  CHECK(hub.size() == 3);
  const Hub copy = hub;
  CHECK(copy.open("a").value() == a);
}

TEST_CASE("channels are made with the hub's options", "[channel][DESIGN-4]") {
  const Hub hub({.channel = {.history = {.max_messages = 2}}});
  const Channel channel = hub.open("a").value();
  for (int i = 0; i < 5; ++i) Publisher(channel).publish({});
  CHECK(channel.history_size() == 2);
  CHECK(hub.options().channel.history.max_messages == 2);
}

TEST_CASE("contradictory options of a hub are refused when it is made", "[channel][DESIGN-3.10]") {
  CHECK_THROWS_AS(Hub({.max_channels = 0}), std::invalid_argument);
  // Later it would be a peer's request that meets the exception.
  CHECK_THROWS_AS(Hub({.channel = {.max_lag = 0}}), std::invalid_argument);
  CHECK_THROWS_AS(Hub({.channel = {.history = {.max_age = -1ms}}}), std::invalid_argument);
}

TEST_CASE("a hub holds as many channels as its limit allows", "[channel][DESIGN-3.5]") {
  HubFixture f({.max_channels = 3, .idle_expiry = 60s});
  for (const char* name : {"a", "b", "c"}) REQUIRE(f.hub->open(name));
  CHECK(f.hub->open("d").error() == make_error_code(errc::too_many_channels));
  CHECK(f.hub->open("a"));
  CHECK(f.hub->size() == 3);
  // Idle ones make room.
  f.clock->move(30s);
  Publisher(f.hub->open("b").value()).publish({});
  f.clock->move(30s);
  CHECK(f.hub->open("d"));
  CHECK(f.hub->open("e"));
  CHECK(f.hub->size() == 3);
  CHECK(f.hub->open("f").error() == make_error_code(errc::too_many_channels));
}

TEST_CASE("a full hub does not look at all its channels for each refusal", "[channel][DESIGN-3.5]") {
  constexpr std::size_t many = 20'000;
  HubFixture f({.max_channels = many, .idle_expiry = 60s});
  for (std::size_t i = 0; i < many; ++i) REQUIRE(f.hub->open(std::to_string(i)));
  const auto time_of = [&](auto&& call) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) call();
    return std::chrono::steady_clock::now() - begin;
  };
  const auto looks = time_of([&] { f.hub->expire_idle(); });
  const auto refusals = time_of([&] { CHECK_FALSE(f.hub->open("one more")); });
  CHECK(refusals < looks / 2);
}

TEST_CASE("an idle channel expires, and its name begins a new epoch", "[channel][WIRE-1]") {
  HubFixture f({.idle_expiry = 60s});
  const auto before = f.epoch("a");
  f.clock->move(60s - 1ms);
  CHECK(f.epoch("a") == before);
  f.clock->move(1ms);
  CHECK(f.epoch("a") != before);
  CHECK(f.hub->size() == 1);
}

TEST_CASE("a channel that may be idle for ever never expires", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = std::chrono::milliseconds::max()});
  const auto before = f.epoch("a");
  f.clock->move(std::chrono::hours(24 * 365));
  CHECK(f.epoch("a") == before);
}

TEST_CASE("publishing, reading and leaving a channel keep it from expiring", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = 60s});
  const auto before = f.epoch("a");
  f.clock->move(40s);
  Publisher(f.hub->open("a").value()).publish({});
  f.clock->move(40s);
  CHECK(f.epoch("a") == before);
  detail::ChannelAccess::state(f.hub->open("a").value())->start(from_latest, DefaultStart::latest);
  f.clock->move(40s);
  CHECK(f.epoch("a") == before);
  auto* state = detail::ChannelAccess::state(f.hub->open("a").value()).get();
  state->attach(from_latest, DefaultStart::latest);
  f.clock->move(40s);
  state->detach();
  f.clock->move(40s);
  CHECK(f.epoch("a") == before);
  f.clock->move(60s);
  CHECK(f.epoch("a") != before);
}

TEST_CASE("a channel that somebody holds a handle to never expires", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = 60s});
  std::optional<Channel> held = f.hub->open("a").value();
  std::optional<Publisher> publisher = Publisher(*held);
  const auto before = held->latest().epoch;
  f.clock->move(24h);
  f.hub->expire_idle();
  CHECK(f.epoch("a") == before);
  held.reset();
  f.hub->expire_idle();
  CHECK(f.epoch("a") == before);
  publisher.reset();
  f.clock->move(60s);
  f.hub->expire_idle();
  CHECK(f.hub->size() == 0);
}

TEST_CASE("a channel is idle from when its last handle was seen on", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = 60s});
  std::optional<Channel> held = f.hub->open("a").value();
  const auto before = held->latest().epoch;
  f.clock->move(24h);
  SECTION("by a look at all") { f.hub->expire_idle(); }
  SECTION("by opening others") {
    for (int i = 0; i < 100; ++i) REQUIRE(f.hub->open("b"));
  }
  SECTION("by opening it") { REQUIRE(f.hub->open("a")); }
  held.reset();
  f.clock->move(60s - 1ms);
  CHECK(f.epoch("a") == before);
  f.clock->move(1ms);
  CHECK(f.epoch("a") != before);
}

TEST_CASE("an idle time below zero is none", "[channel][DESIGN-3.8]") {
  HubFixture f({.idle_expiry = std::chrono::milliseconds::min()});
  const auto before = f.epoch("a");
  CHECK(f.epoch("a") != before);
  const Channel held = f.hub->open("b").value();
  CHECK(f.hub->open("b").value() == held);
}

TEST_CASE("no two channels of a hub, or of two, have an epoch in common", "[channel][WIRE-1]") {
  const Hub hubs[2];
  std::set<std::uint64_t> epochs;
  for (int i = 0; i < 5000; ++i) {
    for (const auto& hub : hubs) epochs.insert(hub.open(std::to_string(i)).value().latest().epoch);
  }
  CHECK(epochs.size() == 10'000);
  CHECK(*epochs.rbegin() < std::uint64_t{1} << 50);
}

TEST_CASE("a channel that somebody is subscribed to never expires", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = 60s});
  auto* state = detail::ChannelAccess::state(f.hub->open("a").value()).get();
  state->attach(from_latest, DefaultStart::latest);
  f.clock->move(24h);
  f.hub->expire_idle();
  CHECK(f.hub->size() == 1);
  state->detach();
  f.hub->expire_idle();
  CHECK(f.hub->size() == 1);
  f.clock->move(60s);
  f.hub->expire_idle();
  CHECK(f.hub->size() == 0);
}

TEST_CASE("expiring takes the idle channels alone", "[channel][DESIGN-4]") {
  HubFixture f({.idle_expiry = 60s});
  for (int i = 0; i < 100; ++i) f.epoch("old" + std::to_string(i));
  f.clock->move(30s);
  const auto young = f.epoch("young");
  f.clock->move(30s);
  f.hub->expire_idle();
  CHECK(f.hub->size() == 1);
  CHECK(f.epoch("young") == young);
}

TEST_CASE("opening channels lets go of idle ones bit by bit", "[channel][DESIGN-3.5]") {
  HubFixture f({.idle_expiry = 60s});
  for (int i = 0; i < 1000; ++i) f.epoch("old" + std::to_string(i));
  f.clock->move(60s);
  const Channel held = f.hub->open("held").value();
  for (int i = 0; i < 500; ++i) REQUIRE(f.hub->open("held"));
  CHECK(f.hub->size() == 1);
}

TEST_CASE("closing a hub closes its channels", "[channel][DESIGN-4]") {
  const Hub hub;
  const Channel a = hub.open("a").value();
  const Channel b = hub.open("b").value();
  hub.close();
  CHECK(a.closed());
  CHECK(b.closed());
  CHECK(hub.size() == 0);
}

TEST_CASE("threads that open the same names get the same channels", "[channel][threads][DESIGN-4]") {
  constexpr int names = 50;
  const Hub hub;
  std::vector<std::vector<Channel>> opened(4);
  std::vector<std::thread> threads;
  for (auto& mine : opened) {
    threads.emplace_back([&hub, &mine] {
      for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < names; ++i) {
          const Channel channel = hub.open("c" + std::to_string(i)).value();
          Publisher(channel).publish({});
          if (round == 0) mine.push_back(channel);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(hub.size() == names);
  for (int i = 0; i < names; ++i) {
    for (const auto& mine : opened) CHECK(mine[static_cast<std::size_t>(i)] == opened[0][static_cast<std::size_t>(i)]);
    CHECK(opened[0][static_cast<std::size_t>(i)].latest().offset == 80);
  }
}

TEST_CASE("a channel never expires between being opened and being used", "[channel][threads][DESIGN-4]") {
  // Everything is idle at once: only the handle in use keeps a channel.
  const Hub hub({.idle_expiry = 0ms});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        const Channel channel = hub.open("shared" + std::to_string(i % 3)).value();
        const auto id = Publisher(channel).publish({});
        if (!id || hub.open("shared" + std::to_string(i % 3)).value() != channel) ++wrong;
        if (i % 16 == 0) hub.expire_idle();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
