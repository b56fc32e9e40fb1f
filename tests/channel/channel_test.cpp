#include <downlink/channel/channel.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <downlink/channel/publisher.hpp>

#include "support/catch.hpp"
#include "support/manual_clock.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using detail::ChannelState;
using detail::Position;
using detail::RecordPtr;

namespace {

constexpr StartRequest latest{StartRequest::Kind::latest, {}, 0};

struct CountingWaker final : detail::Waker {
  void wake() noexcept override { ++count; }
  std::atomic<int> count{0};
};

MessageId publish(const Channel& channel, Message message = {.data = "x"}) {
  return Publisher(channel).publish(std::move(message)).value();
}

ChannelState& state_of(const Channel& channel) { return *detail::ChannelAccess::state(channel); }

std::vector<std::string> read(ChannelState& state, Position from) {
  std::vector<RecordPtr> records;
  Position head = 0;
  std::vector<std::string> texts;
  if (!state.read_records(from, 1000, 1'000'000, records, head)) return {"lost"};
  for (const auto& record : records) texts.push_back(record->message.data);
  return texts;
}

}  // namespace

TEST_CASE("a new channel is empty, and its latest id is the place before its first message", "[channel][WIRE-1]") {
  const Channel channel;
  CHECK(channel.history_size() == 0);
  CHECK(channel.subscriber_count() == 0);
  CHECK_FALSE(channel.closed());
  const MessageId before = channel.latest();
  CHECK(before.offset == 0);
  const MessageId first = publish(channel);
  CHECK(first == MessageId{before.epoch, 1});
  CHECK(channel.latest() == first);
  CHECK(channel.history_size() == 1);
}

TEST_CASE("each channel has an epoch of its own", "[channel][WIRE-1]") {
  CHECK(Channel().latest().epoch != Channel().latest().epoch);
  // Short enough that ids stay short.
  CHECK(Channel().latest().to_string().size() <= 12);
}

TEST_CASE("copies of a handle are the same channel", "[channel][DESIGN-4]") {
  const Channel channel;
  const Channel copy = channel;
  CHECK(copy == channel);
  CHECK_FALSE(Channel() == channel);
  publish(copy);
  CHECK(channel.history_size() == 1);
}

TEST_CASE("contradictory options are refused with a sentence", "[channel][DESIGN-3.10]") {
  CHECK_THROWS_AS(Channel({.max_lag = 0}), std::invalid_argument);
  CHECK_THROWS_AS(Channel({.max_lag_messages = 0}), std::invalid_argument);
  CHECK_THROWS_AS(Channel({.history = {.max_age = -1ms}}), std::invalid_argument);
  CHECK_NOTHROW(Channel({.history = {.max_messages = 0, .max_bytes = 0}}));
}

TEST_CASE("the options of a channel can be asked for", "[channel][DESIGN-3.5]") {
  const Channel channel({.history = {.max_messages = 5}, .lag_policy = LagPolicy::skip});
  CHECK(channel.options().history.max_messages == 5);
  CHECK(channel.options().lag_policy == LagPolicy::skip);
  CHECK(channel.options().clock);
}

TEST_CASE("appending under an id goes on, jumps or begins an epoch", "[channel][DESIGN-7]") {
  Channel channel;
  const auto epoch = channel.latest().epoch;
  CHECK(channel.append({epoch, 1}, {.data = "a"}).value() == MessageId{epoch, 1});
  CHECK(channel.append({epoch, 2}, {.data = "b"}).value() == MessageId{epoch, 2});
  CHECK(channel.history_size() == 2);
  CHECK(channel.append({epoch, 50}, {.data = "c"}).value() == MessageId{epoch, 50});
  CHECK(channel.history_size() == 1);
  CHECK(channel.append({epoch + 1, 7}, {.data = "d"}).value() == MessageId{epoch + 1, 7});
  CHECK(channel.latest() == MessageId{epoch + 1, 7});
  CHECK(channel.history_size() == 1);
}

TEST_CASE("an offset that is not past the newest is an error", "[channel][DESIGN-7]") {
  Channel channel;
  const auto epoch = channel.latest().epoch;
  REQUIRE(channel.append({epoch, 5}, {.data = "a"}));
  for (const std::uint64_t offset : {0u, 1u, 4u, 5u}) {
    CHECK(channel.append({epoch, offset}, {.data = "b"}).error() == make_error_code(errc::offset_not_increasing));
  }
  CHECK(channel.append({epoch + 1, 0}, {.data = "b"}).error() == make_error_code(errc::offset_not_increasing));
  CHECK(channel.latest() == MessageId{epoch, 5});
  CHECK(channel.history_size() == 1);
}

TEST_CASE("what may not be published may not be appended either", "[channel][DESIGN-7]") {
  Channel channel({.max_message = 3});
  const auto epoch = channel.latest().epoch;
  CHECK(channel.append({epoch, 1}, {.data = "long"}).error() == make_error_code(errc::message_too_large));
  CHECK(channel.append({epoch, 1}, {.data = "\xff"}).error() == make_error_code(errc::not_utf8));
  CHECK(channel.append({epoch, 1}, {.event = "a\n"}).error() == make_error_code(errc::bad_event_name));
  CHECK(channel.latest().offset == 0);
}

TEST_CASE("a closed channel takes nothing more and keeps what it has", "[channel][DESIGN-4]") {
  Channel channel;
  publish(channel, {.data = "last"});
  channel.close();
  channel.close();
  CHECK(channel.closed());
  CHECK(Publisher(channel).publish({}).error() == make_error_code(errc::channel_closed));
  CHECK(channel.append({channel.latest().epoch, 9}, {}).error() == make_error_code(errc::channel_closed));
  CHECK(channel.history_size() == 1);
  CHECK(read(state_of(channel), 1) == std::vector<std::string>{"last"});
}

TEST_CASE("subscribers are counted while they are there", "[channel][DESIGN-4]") {
  const Channel channel;
  auto& state = state_of(channel);
  state.attach(latest, DefaultStart::latest);
  state.attach(latest, DefaultStart::latest);
  CHECK(channel.subscriber_count() == 2);
  state.detach();
  state.detach();
  CHECK(channel.subscriber_count() == 0);
}

TEST_CASE("each start begins where it says, and none at the endpoint's default", "[channel][WIRE-1]") {
  const Channel channel({.history = {.max_messages = 3}});
  for (const char* text : {"1", "2", "3", "4"}) publish(channel, {.data = text});
  auto& state = state_of(channel);
  const auto epoch = channel.latest().epoch;
  using Kind = StartRequest::Kind;
  const auto start = [&](StartRequest request, DefaultStart otherwise = DefaultStart::latest) {
    const auto point = state.start(request, otherwise);
    auto texts = read(state, point.next);
    if (point.gap) texts.insert(texts.begin(), "gap");
    return texts;
  };
  using Texts = std::vector<std::string>;
  CHECK(start({Kind::none, {}, 0}) == Texts{});
  CHECK(start({Kind::none, {}, 0}, DefaultStart::earliest) == Texts{"2", "3", "4"});
  CHECK(start({Kind::earliest, {}, 0}) == Texts{"2", "3", "4"});
  CHECK(start({Kind::latest, {}, 0}, DefaultStart::earliest) == Texts{});
  CHECK(start({Kind::history, {}, 2}) == Texts{"3", "4"});
  CHECK(start({Kind::history, {}, 0}, DefaultStart::earliest) == Texts{});
  CHECK(start({Kind::cursor, MessageId{epoch, 3}.to_string(), 0}) == Texts{"4"});
  CHECK(start({Kind::cursor, MessageId{epoch, 0}.to_string(), 0}) == Texts{"gap", "2", "3", "4"});
  CHECK(start({Kind::cursor, "nonsense", 0}) == Texts{"gap", "2", "3", "4"});
}

TEST_CASE("what has expired is no start for anybody", "[channel][WIRE-1]") {
  const auto clock = std::make_shared<testing::ManualClock>();
  const Channel channel({.clock = clock});
  publish(channel, {.data = "short", .time_to_live = 10ms});
  publish(channel, {.data = "long"});
  clock->move(10ms);
  auto& state = state_of(channel);
  CHECK(read(state, state.start({StartRequest::Kind::earliest, {}, 0}, DefaultStart::latest).next) ==
        std::vector<std::string>{"long"});
  CHECK(channel.history_size() == 1);
}

TEST_CASE("the cursor of a reader is the id before what it gets next", "[channel][WIRE-1]") {
  const Channel channel;
  auto& state = state_of(channel);
  const auto epoch = channel.latest().epoch;
  CHECK(state.cursor_before(1) == MessageId{epoch, 0});
  const auto first = publish(channel, {.data = "a", .key = "k"});
  CHECK(state.cursor_before(2) == first);
  const auto second = publish(channel, {.data = "b", .key = "k"});
  CHECK(state.first_live(1) == second);
  CHECK(state.first_live(2) == second);
  CHECK_FALSE(state.first_live(3));
}

TEST_CASE("a subscriber within max_lag loses nothing though the history is shorter", "[channel][WIRE-7]") {
  const Channel channel({.history = {.max_messages = 1}, .max_lag = 1000, .max_lag_messages = 100});
  auto& state = state_of(channel);
  publish(channel);
  const auto attached = state.attach(latest, DefaultStart::latest);
  CHECK(attached.joined == 1);
  CHECK(attached.start.next == 2);
  for (int i = 0; i < 100; ++i) publish(channel);
  CHECK(read(state, attached.start.next).size() == 100);
  CHECK(state.tail_first() <= attached.start.next);
  publish(channel);
  CHECK(read(state, attached.start.next) == std::vector<std::string>{"lost"});
  CHECK(state.tail_first() > attached.start.next);
  // It goes on with the history, or at the newest.
  CHECK(state.resume_earliest() == state.head());
  CHECK(state.resume_newest() == state.head());
  state.detach();
}

TEST_CASE("a subscriber that has yet to begin a superseded message does not lag", "[channel][WIRE-1][WIRE-7]") {
  const Channel channel;
  auto& state = state_of(channel);
  const auto attached = state.attach(latest, DefaultStart::latest);
  for (int i = 0; i < 10; ++i) publish(channel, {.data = "1", .key = "price"});
  CHECK(state.tail_first() <= attached.start.next);
  state.detach();
}

TEST_CASE("without subscribers nothing is kept beyond the history", "[channel][DESIGN-1]") {
  const Channel channel({.history = {.max_messages = 2}});
  auto& state = state_of(channel);
  state.attach(latest, DefaultStart::latest);
  state.attach(latest, DefaultStart::latest);
  for (int i = 0; i < 5; ++i) publish(channel);
  state.detach();
  publish(channel);
  CHECK(read(state, 1).size() == 6);
  state.detach();
  publish(channel);
  CHECK(read(state, 1) == std::vector<std::string>{"lost"});
  CHECK(read(state, 6).size() == 2);
}

TEST_CASE("after a jump everybody who stood in the channel goes on behind it", "[channel][DESIGN-7]") {
  Channel channel;
  auto& state = state_of(channel);
  const auto attached = state.attach(latest, DefaultStart::latest);
  REQUIRE(channel.append({channel.latest().epoch, 10}, {.data = "jumped"}));
  CHECK(attached.start.next <= state.reset_through());
  CHECK(read(state, attached.start.next) == std::vector<std::string>{"lost"});
  CHECK(read(state, state.resume_earliest()) == std::vector<std::string>{"jumped"});
  state.detach();
}

TEST_CASE("each publish and the close wake whoever waits, until it leaves", "[channel][DESIGN-2]") {
  Channel channel;
  auto& state = state_of(channel);
  CountingWaker first, second, third;
  for (auto* waker : {&first, &second, &third}) state.add_waker(*waker);
  publish(channel);
  CHECK(second.count == 1);
  state.remove_waker(second);
  state.remove_waker(second);
  publish(channel);
  REQUIRE(channel.append({channel.latest().epoch, 100}, {}));
  CHECK(first.count == 3);
  CHECK(second.count == 1);
  state.add_waker(second);
  state.remove_waker(first);
  channel.close();
  channel.close();
  CHECK(first.count == 3);
  CHECK(second.count == 2);
  CHECK(third.count == 4);
  CHECK_FALSE(Publisher(channel).publish({}));
  CHECK(third.count == 4);
}

TEST_CASE("wakers that come and go while others publish are woken and then left alone",
          "[channel][threads][DESIGN-3.2]") {
  Channel channel({.history = {.max_messages = 10}});
  auto& state = state_of(channel);
  std::atomic<bool> done{false};
  std::thread publishing([&] {
    const Publisher publisher(channel);
    while (!done) publisher.publish({.data = "x"});
  });
  std::vector<std::thread> threads;
  std::atomic<int> woken{0};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        auto waker = std::make_unique<CountingWaker>();
        state.add_waker(*waker);
        while (waker->count == 0) std::this_thread::yield();
        state.remove_waker(*waker);
        ++woken;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  done = true;
  publishing.join();
  CHECK(woken == 600);
}
