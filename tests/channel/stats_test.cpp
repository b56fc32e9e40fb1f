#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <downlink/channel/channel.hpp>
#include <downlink/channel/hub.hpp>
#include <downlink/channel/publisher.hpp>

#include "support/catch.hpp"
#include "support/manual_clock.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

detail::ChannelState& state(const Channel& channel) { return *detail::ChannelAccess::state(channel); }

}  // namespace

TEST_CASE("a channel tells what was published and what it keeps", "[channel][stats]") {
  const Channel channel{{.history = {.max_messages = 2}}};
  const Publisher publisher(channel);
  CHECK(channel.stats().published_messages == 0);
  for (const auto* data : {"1", "22", "333", ""}) REQUIRE(publisher.publish({.data = data}));
  CHECK_FALSE(publisher.publish({.data = "x", .event = "downlink.x"}));  // refused: not published
  const auto stats = channel.stats();
  CHECK(stats.head_offset == channel.latest().offset);
  CHECK(stats.head_offset == 4);
  CHECK(stats.published_messages == 4);
  CHECK(stats.published_bytes == 6);
  CHECK(stats.history_messages == 2);
  CHECK(stats.history_bytes == 3);
  CHECK(stats.retained_messages == 2);
  CHECK(stats.retained_bytes == 3);
  CHECK(stats.evicted_messages == 2);
  CHECK(stats.encoded_bytes == 0);
}

TEST_CASE("what the live tail keeps past the history counts as retained, and is evicted once it may go",
          "[channel][stats]") {
  const Channel channel{{.history = {.max_messages = 1}}};
  const Publisher publisher(channel);
  state(channel).attach({}, DefaultStart::latest);
  for (int i = 0; i < 5; ++i) REQUIRE(publisher.publish({.data = "four"}));
  auto stats = channel.stats();
  CHECK(stats.subscribers == 1);
  CHECK(stats.history_messages == 1);
  CHECK(stats.retained_messages == 5);
  CHECK(stats.retained_bytes == 20);
  CHECK(stats.evicted_messages == 0);
  state(channel).detach();
  stats = channel.stats();
  CHECK(stats.subscribers == 0);
  CHECK(stats.retained_messages == 1);
  CHECK(stats.retained_bytes == 4);
  CHECK(stats.evicted_messages == 4);
}

TEST_CASE("evicted, expired and superseded messages are told apart", "[channel][stats]") {
  const auto clock = std::make_shared<ManualClock>();
  Channel channel{{.history = {.max_messages = 4, .max_age = 1h}, .clock = clock}};
  const Publisher publisher(channel);
  for (int i = 0; i < 3; ++i) REQUIRE(publisher.publish({.data = "a", .key = "k"}));  // two superseded
  REQUIRE(publisher.publish({.data = "b", .time_to_live = 1s}));
  clock->move(2s);
  for (int i = 0; i < 4; ++i) REQUIRE(publisher.publish({.data = "c"}));  // evicts the last "a"
  auto stats = channel.stats();
  CHECK(stats.superseded_messages == 2);
  CHECK(stats.expired_messages == 1);
  CHECK(stats.evicted_messages == 1);
  CHECK(stats.retained_messages == 4);
  clock->move(2h);
  REQUIRE(publisher.publish({.data = "d"}));  // and the age takes the others
  stats = channel.stats();
  CHECK(stats.evicted_messages == 5);
  auto id = channel.latest();
  id.offset += 10;
  REQUIRE(channel.append(id, {.data = "e"}));  // a jump takes what is left
  stats = channel.stats();
  CHECK(stats.evicted_messages == 6);
  CHECK(stats.published_messages == 10);
  CHECK(stats.published_messages ==
        stats.retained_messages + stats.evicted_messages + stats.expired_messages + stats.superseded_messages);
}

TEST_CASE("a lag counts what came after the subscriber, and the largest one stays", "[channel][stats][WIRE-7]") {
  const Channel channel;
  const Publisher publisher(channel);
  for (int i = 0; i < 3; ++i) REQUIRE(publisher.publish({.data = "backlog"}));
  const auto attached = state(channel).attach({StartRequest::Kind::earliest, {}, 0}, DefaultStart::latest);
  CHECK(attached.start.next == 1);
  state(channel).note_lag(attached.start.next, attached.joined);
  CHECK(channel.stats().largest_lag_messages == 0);
  for (int i = 0; i < 2; ++i) REQUIRE(publisher.publish({.data = "12345"}));
  state(channel).note_lag(attached.start.next, attached.joined);
  state(channel).note_lag(5, attached.joined);  // a smaller one
  auto stats = channel.stats();
  CHECK(stats.largest_lag_messages == 2);
  CHECK(stats.largest_lag_bytes == 10);
  REQUIRE(publisher.publish({.data = std::string(100, 'x')}));
  state(channel).note_lag(6, attached.joined);
  stats = channel.stats();
  CHECK(stats.largest_lag_messages == 2);
  CHECK(stats.largest_lag_bytes == 100);
  state(channel).detach();
}

TEST_CASE("each encoding counts its messages, not the positions of those that were dead before it",
          "[channel][stats]") {
  const Channel channel;
  const Publisher publisher(channel);
  // The first one stays, the next five supersede each other before anybody reads.
  REQUIRE(publisher.publish({.data = "first"}));
  for (int i = 0; i < 5; ++i) REQUIRE(publisher.publish({.data = "value", .key = "k"}));
  struct Plain {
    static void encode(std::string& out, const MessageView& message) { out += message.data; }
  };
  detail::Range range;
  state(channel).read(&detail::form_ops<Plain>, 1, {}, range);
  CHECK(range.bytes == 10);
  CHECK(range.messages == 2);
  CHECK(channel.stats().encoded_bytes > 10);
}

TEST_CASE("a hub adds its channels up, and what those that went have seen stays in the sum", "[channel][stats]") {
  const auto clock = std::make_shared<ManualClock>();
  const Hub hub{{.channel = {.clock = clock}, .max_channels = 2, .idle_expiry = 1min}};
  {
    const auto a = hub.open("a");
    const auto b = hub.open("b");
    CHECK(hub.open("c").error() == errc::too_many_channels);
    CHECK(hub.open("no name").error() == errc::bad_channel_name);
    REQUIRE(Publisher(a.value()).publish({.data = "12"}));
    REQUIRE(Publisher(b.value()).publish({.data = "345"}));
  }
  auto stats = hub.stats();
  CHECK(stats.channels == 2);
  CHECK(stats.created == 2);
  CHECK(stats.expired == 0);
  CHECK(stats.refused == 1);
  CHECK(stats.sum.published_messages == 2);
  CHECK(stats.sum.published_bytes == 5);
  CHECK(stats.sum.history_messages == 2);

  clock->move(2min);
  SECTION("by a look at all") { hub.expire_idle(); }
  SECTION("by opening others") {
    for (int i = 0; i < 100 && hub.size() > 1; ++i) REQUIRE(hub.open("c"));
    clock->move(2min);
    REQUIRE(hub.open("c"));
    clock->move(2min);
    hub.expire_idle();
  }
  stats = hub.stats();
  CHECK(stats.channels == 0);
  CHECK(stats.expired == stats.created);
  CHECK(stats.sum.published_messages == 2);
  CHECK(stats.sum.published_bytes == 5);
  CHECK(stats.sum.history_messages == 0);
  CHECK(stats.sum.history_bytes == 0);
}

TEST_CASE("what the channels of a closed hub have seen stays in its sum", "[channel][stats]") {
  const Hub hub;
  const auto channel = hub.open("a").value();
  REQUIRE(Publisher(channel).publish({.data = "12"}));
  state(channel).attach({}, DefaultStart::latest);
  hub.close();
  hub.close();
  const auto stats = hub.stats();
  CHECK(stats.channels == 0);
  CHECK(stats.created == 1);
  CHECK(stats.expired == 0);
  CHECK(stats.sum.published_messages == 1);
  CHECK(stats.sum.published_bytes == 2);
  CHECK(stats.sum.history_messages == 0);
  CHECK(stats.sum.subscribers == 0);
  state(channel).detach();
}

TEST_CASE("what is past its age or its time to live is not counted as kept, though nobody reads",
          "[channel][stats][WIRE-1]") {
  const auto clock = std::make_shared<ManualClock>();
  const Channel channel{{.history = {.max_age = 1min}, .clock = clock}};
  REQUIRE(Publisher(channel).publish({.data = "aged"}));
  REQUIRE(Publisher(channel).publish({.data = "mortal", .time_to_live = 10ms}));
  clock->move(1s);
  SECTION("in the history") { CHECK(channel.history_size() == 1); }
  SECTION("in the figures") {
    auto stats = channel.stats();
    CHECK(stats.history_messages == 1);
    CHECK(stats.retained_messages == 1);
    CHECK(stats.retained_bytes == 4);
    CHECK(stats.expired_messages == 1);
    clock->move(1h);
    stats = channel.stats();
    CHECK(stats.retained_messages == 0);
    CHECK(stats.evicted_messages == 1);
  }
  clock->move(1h);
  CHECK(channel.history_size() == 0);
}

TEST_CASE("a lag in bytes is never more than what is kept", "[channel][stats][WIRE-7]") {
  const Channel channel;
  const auto attached = state(channel).attach({}, DefaultStart::latest);
  for (int i = 0; i < 50; ++i) REQUIRE(Publisher(channel).publish({.data = std::string(100, 'x'), .key = "a"}));
  REQUIRE(Publisher(channel).publish({.data = "12345", .key = "b"}));
  state(channel).note_lag(attached.start.next, attached.joined);
  CHECK(channel.stats().largest_lag_bytes == 105);
  for (int i = 0; i < 50; ++i) REQUIRE(Publisher(channel).publish({.data = std::string(100, 'x'), .key = "a"}));
  state(channel).note_lag(attached.start.next, attached.joined);
  CHECK(channel.stats().largest_lag_bytes == 105);
  state(channel).detach();
}

TEST_CASE("figures may be read while others publish, from any thread", "[channel][stats][threads]") {
  const Hub hub;
  const auto channel = hub.open("a").value();
  std::vector<std::jthread> publishing;
  for (int thread = 0; thread < 2; ++thread) {
    publishing.emplace_back([publisher = Publisher(channel)] {
      for (int i = 0; i < 5000; ++i) publisher.publish({.data = "x", .key = std::to_string(i % 10)}).value();
    });
  }
  std::uint64_t last = 0;
  while (last < 10'000) {
    const auto stats = hub.stats().sum;
    CHECK(stats.published_messages >= last);
    CHECK(stats.published_bytes == stats.published_messages);
    last = stats.published_messages;
  }
  CHECK(channel.stats().superseded_messages == 10'000 - 10);
}
