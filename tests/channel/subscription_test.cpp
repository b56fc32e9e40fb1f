#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "channel/asking.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/manual_clock.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("a subscription gets what is published after it came, in order", "[channel][DESIGN-3.3]") {
  const Channel channel;
  publish(channel, "before");
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  CHECK(channel.subscriber_count() == 1);
  CHECK_FALSE(hand.next(subscription));
  for (const char* text : {"1", "2", "3"}) publish(channel, text);
  const auto got = hand.look();
  REQUIRE(got);
  CHECK_FALSE(got->error);
  CHECK_FALSE(got->batch.gap);
  CHECK(got->texts() == Texts{"1", "2", "3"});
  CHECK(got->batch.messages[2].id() == channel.latest());
  CHECK_FALSE(hand.next(subscription));
  publish(channel, "4");
  CHECK(hand.look()->texts() == Texts{"4"});
}

TEST_CASE("messages that came between two calls are read at once", "[channel][DESIGN-1]") {
  const Channel channel;
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  publish(channel, "1");
  publish(channel, "2");
  CHECK(hand.next(subscription)->texts() == Texts{"1", "2"});
  publish(channel, "3");
  publish(channel, "4");
  CHECK(hand.next(subscription)->texts() == Texts{"3", "4"});
}

TEST_CASE("the handler is never called before the call has returned", "[channel][DESIGN-4]") {
  const Channel channel;
  publish(channel, "1");
  net::io_context context;
  Subscription subscription(context.get_executor(), channel, {.cursor = "earliest"});
  bool returned = false;
  bool called = false;
  net::post(context, [&] {
    subscription.async_next([&](error_code, Batch) { called = returned; });
    returned = true;
  });
  context.run();
  CHECK(called);
}

TEST_CASE("a handler that asks for what comes next is not called inside of itself", "[channel][DESIGN-4]") {
  // Else a long backlog, read in small batches, would use up the stack.
  struct Asking {
    void next() {
      subscription.async_next([this](error_code, Batch batch) {
        inside = inside || running;
        running = true;
        count += batch.messages.size();
        if (count < 50) next();
        running = false;
      });
    }
    Subscription& subscription;
    std::size_t count = 0;
    bool running = false;
    bool inside = false;
  };
  const Channel channel;
  for (int i = 0; i < 50; ++i) publish(channel, "x");
  net::io_context context;
  Subscription subscription(context.get_executor(), channel, {.cursor = "earliest", .max_batch = 1});
  Asking asking{subscription};
  asking.next();
  context.poll();
  CHECK(asking.count == 50);
  CHECK_FALSE(asking.inside);
}

TEST_CASE("a handler is called on its own executor, whether it had to wait or not", "[channel][DESIGN-4]") {
  const Channel channel;
  net::io_context context;
  net::io_context other;
  Subscription subscription(context.get_executor(), channel);
  const auto turn = [](net::io_context& loop) {
    loop.restart();
    loop.poll();
  };
  for (const bool waits : {false, true, true, false}) {
    CAPTURE(waits);
    std::optional<bool> in_place;
    const auto handler = [&](error_code, Batch) { in_place = other.get_executor().running_in_this_thread(); };
    if (!waits) publish(channel, "x");
    subscription.async_next(net::bind_executor(other.get_executor(), handler));
    for (int i = 0; i < 3; ++i) {
      turn(context);
      turn(other);
    }
    if (waits) {
      CHECK_FALSE(in_place);
      publish(channel, "x");
    }
    for (int i = 0; i < 3; ++i) {
      turn(context);
      turn(other);
    }
    CHECK(in_place == true);
  }
}

TEST_CASE("a subscription reads on its own executor, where wake-ups come too", "[channel][DESIGN-2]") {
  // Elsewhere a wake-up could come between reading nothing and waiting, and be lost.
  struct Watching final : Clock {
    TimePoint now() const noexcept override {
      if (context && !context->get_executor().running_in_this_thread()) elsewhere = true;
      return Clock::now();
    }
    net::io_context* context = nullptr;
    mutable bool elsewhere = false;
  };
  const auto clock = std::make_shared<Watching>();
  const Channel channel({.clock = clock});
  net::io_context context;
  net::io_context other;
  Subscription subscription(context.get_executor(), channel);
  subscription.async_next(net::bind_executor(other.get_executor(), [](error_code, Batch) {}));
  clock->context = &context;
  for (int i = 0; i < 3; ++i) {
    for (auto* loop : {&context, &other}) {
      loop->restart();
      loop->poll();
    }
  }
  clock->context = nullptr;
  CHECK_FALSE(clock->elsewhere);
}

TEST_CASE("a batch is bounded in messages and in bytes", "[channel][DESIGN-3.5]") {
  const Channel channel;
  for (int i = 0; i < 7; ++i) publish(channel, std::string(100, 'x'));
  Hand hand;
  Subscription few(hand.context.get_executor(), channel, {.cursor = "earliest", .max_batch = 3});
  for (const std::size_t size : {3u, 3u, 1u}) {
    const auto got = hand.next(few);
    REQUIRE(got);
    CHECK(got->batch.messages.size() == size);
  }
  CHECK_FALSE(hand.next(few));
  Hand other;
  Subscription small(other.context.get_executor(), channel, {.cursor = "earliest", .max_batch_bytes = 1});
  for (std::uint64_t offset = 1; offset <= 7; ++offset) {
    const auto got = other.next(small);
    REQUIRE(got);
    REQUIRE(got->batch.messages.size() == 1);
    CHECK(got->batch.messages[0].id().offset == offset);
  }
  CHECK_FALSE(other.next(small));
}

TEST_CASE("a subscription starts where its cursor says", "[channel][WIRE-1]") {
  const Channel channel({.history = {.max_messages = 3}});
  for (const char* text : {"1", "2", "3", "4"}) publish(channel, text);
  const auto epoch = channel.latest().epoch;
  const auto first = [&](std::string cursor) {
    Hand hand;
    Subscription subscription(hand.context.get_executor(), channel, {.cursor = std::move(cursor)});
    const auto got = hand.next(subscription);
    if (!got) return Texts{"nothing"};
    auto texts = got->texts();
    if (got->batch.gap) texts.insert(texts.begin(), "gap");
    return texts;
  };
  CHECK(first("") == Texts{"nothing"});
  CHECK(first("latest") == Texts{"nothing"});
  CHECK(first("earliest") == Texts{"2", "3", "4"});
  CHECK(first(MessageId{epoch, 1}.to_string()) == Texts{"2", "3", "4"});
  CHECK(first(MessageId{epoch, 2}.to_string()) == Texts{"3", "4"});
  CHECK(first(MessageId{epoch, 4}.to_string()) == Texts{"nothing"});
  CHECK(first(MessageId{epoch, 0}.to_string()) == Texts{"gap", "2", "3", "4"});
  CHECK(first(MessageId{epoch, 5}.to_string()) == Texts{"gap", "2", "3", "4"});
  CHECK(first(MessageId{epoch + 1, 2}.to_string()) == Texts{"gap", "2", "3", "4"});
  CHECK(first("nonsense") == Texts{"gap", "2", "3", "4"});
}

TEST_CASE("a subscription goes on exactly behind the last id that another one got", "[channel][WIRE-1]") {
  const Channel channel;
  for (int i = 1; i <= 20; ++i) publish(channel, std::to_string(i));
  std::string cursor = "earliest";
  int seen = 0;
  while (seen < 20) {
    Hand hand;
    Subscription subscription(hand.context.get_executor(), channel, {.cursor = cursor, .max_batch = 3});
    const auto got = hand.next(subscription);
    REQUIRE(got);
    CHECK_FALSE(got->batch.gap);
    for (const auto& delivered : got->batch.messages) CHECK(delivered.message().data == std::to_string(++seen));
    cursor = got->batch.messages.back().id().to_string();
  }
  CHECK(seen == 20);
}

TEST_CASE("a gap on an empty channel is told by itself", "[channel][WIRE-1]") {
  const Channel channel;
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel, {.cursor = "other-7"});
  const auto got = hand.next(subscription);
  REQUIRE(got);
  CHECK(got->batch.gap);
  CHECK(got->batch.messages.empty());
  CHECK_FALSE(hand.next(subscription));
  publish(channel, "1");
  const auto after = hand.look();
  REQUIRE(after);
  CHECK_FALSE(after->batch.gap);
  CHECK(after->texts() == Texts{"1"});
}

TEST_CASE("superseded and expired messages are passed over without a gap", "[channel][WIRE-1]") {
  const auto clock = std::make_shared<testing::ManualClock>();
  const Channel channel({.clock = clock});
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  const Publisher publisher(channel);
  publisher.publish({.data = "old", .key = "k"});
  publisher.publish({.data = "short", .time_to_live = 5ms});
  publisher.publish({.data = "new", .key = "k"});
  clock->move(5ms);
  const auto got = hand.next(subscription);
  REQUIRE(got);
  CHECK(got->texts() == Texts{"new"});
  CHECK_FALSE(got->batch.gap);

  CHECK_FALSE(hand.next(subscription));
  publisher.publish({.data = "gone", .time_to_live = 0ms});
  CHECK_FALSE(hand.look());
  publisher.publish({.data = "last"});
  CHECK(hand.look()->texts() == Texts{"last"});
}

TEST_CASE("after a jump or in a new epoch a subscription has a gap, then what is there", "[channel][DESIGN-7]") {
  Channel channel;
  publish(channel, "1");
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel, {.cursor = "earliest"});
  CHECK(hand.next(subscription)->texts() == Texts{"1"});
  CHECK_FALSE(hand.next(subscription));
  const auto epoch = channel.latest().epoch;
  REQUIRE(channel.append({epoch, 50}, {.data = "jumped"}));
  auto got = hand.look();
  REQUIRE(got);
  CHECK(got->batch.gap);
  CHECK(got->texts() == Texts{"jumped"});
  CHECK(got->batch.messages[0].id() == MessageId{epoch, 50});

  CHECK_FALSE(hand.next(subscription));
  REQUIRE(channel.append({epoch + 1, 1}, {.data = "renewed"}));
  got = hand.look();
  REQUIRE(got);
  CHECK(got->batch.gap);
  CHECK(got->texts() == Texts{"renewed"});
  CHECK(got->batch.messages[0].id() == MessageId{epoch + 1, 1});
  publish(channel, "next");
  got = hand.next(subscription);
  REQUIRE(got);
  CHECK_FALSE(got->batch.gap);
}

TEST_CASE("a subscription that falls behind max_lag has a gap, then goes on", "[channel][WIRE-7]") {
  const Channel channel({.history = {.max_messages = 2}, .max_lag_messages = 10});
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  for (int i = 1; i <= 11; ++i) publish(channel, std::to_string(i));
  auto got = hand.next(subscription);
  REQUIRE(got);
  CHECK(got->batch.gap);
  CHECK(got->texts().back() == "11");
  publish(channel, "12");
  got = hand.next(subscription);
  REQUIRE(got);
  CHECK_FALSE(got->batch.gap);
  CHECK(got->texts() == Texts{"12"});
}

TEST_CASE("a backlog that is evicted before it was read is a gap", "[channel][WIRE-7]") {
  const Channel channel({.history = {.max_messages = 5}});
  for (int i = 1; i <= 5; ++i) publish(channel, std::to_string(i));
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel, {.cursor = "earliest", .max_batch = 2});
  CHECK(hand.next(subscription)->texts() == Texts{"1", "2"});
  for (int i = 6; i <= 9; ++i) publish(channel, std::to_string(i));
  const auto got = hand.next(subscription);
  REQUIRE(got);
  CHECK(got->batch.gap);
  CHECK(got->texts() == Texts{"5", "6"});
}

TEST_CASE("what is published before the close is read, then the channel is closed", "[channel][DESIGN-4]") {
  Channel channel;
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  publish(channel, "last");
  channel.close();
  CHECK(hand.next(subscription)->texts() == Texts{"last"});
  for (int i = 0; i < 2; ++i) {
    const auto got = hand.next(subscription);
    REQUIRE(got);
    CHECK(got->error == make_error_code(errc::channel_closed));
    CHECK(got->batch.messages.empty());
  }
}

TEST_CASE("closing a channel wakes a subscription that waits", "[channel][DESIGN-4]") {
  Channel channel;
  Hand hand;
  Subscription subscription(hand.context.get_executor(), channel);
  CHECK_FALSE(hand.next(subscription));
  channel.close();
  const auto got = hand.look();
  REQUIRE(got);
  CHECK(got->error == make_error_code(errc::channel_closed));
}

TEST_CASE("a subscription that is destroyed while it waits completes and lets its loop end", "[channel][DESIGN-3.9]") {
  const Channel channel;
  Hand hand;
  {
    Subscription subscription(hand.context.get_executor(), channel);
    CHECK_FALSE(hand.next(subscription));
  }
  CHECK(channel.subscriber_count() == 0);
  publish(channel, "nobody's");
  const auto got = hand.look();
  REQUIRE(got);
  CHECK(got->error == error_code(net::error::operation_aborted));
  CHECK(got->batch.messages.empty());
  CHECK(hand.context.stopped());
}

TEST_CASE("a loop that is destroyed takes a waiting handler with it", "[channel][DESIGN-3.9]") {
  const Channel channel;
  const auto token = std::make_shared<int>(1);
  {
    net::io_context context;
    Subscription subscription(context.get_executor(), channel);
    subscription.async_next([token](error_code, Batch) {});
    context.poll();
    publish(channel, "1");
  }
  CHECK(token.use_count() == 1);
  CHECK(channel.subscriber_count() == 0);
}

TEST_CASE("a subscription can be moved, also while it waits", "[channel][DESIGN-4]") {
  const Channel channel;
  Hand hand;
  Subscription first(hand.context.get_executor(), channel);
  CHECK_FALSE(hand.next(first));
  Subscription second(std::move(first));
  CHECK(channel.subscriber_count() == 1);
  publish(channel, "1");
  CHECK(hand.look()->texts() == Texts{"1"});
  {
    Subscription third(hand.context.get_executor(), Channel());
    third = std::move(second);
    publish(channel, "2");
    CHECK(hand.next(third)->texts() == Texts{"2"});
  }
}

TEST_CASE("what was delivered stays readable after its log has gone", "[channel][DESIGN-4]") {
  std::optional<Delivered> kept;
  {
    const Channel channel;
    Hand hand;
    Subscription subscription(hand.context.get_executor(), channel);
    publish(channel, "kept");
    kept = hand.next(subscription)->batch.messages.at(0);
  }
  CHECK(kept->message().data == "kept");
}

TEST_CASE("a coroutine reads batch after batch until the close", "[channel][DESIGN-4]") {
  Channel channel;
  net::io_context context;
  Texts texts;
  error_code ended;
  Subscription subscription(context.get_executor(), channel, {.max_batch = 2});
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        try {
          for (;;) {
            const Batch batch = co_await subscription.next();
            for (const auto& delivered : batch.messages) texts.push_back(delivered.message().data);
          }
        } catch (const system_error& error) {
          ended = error.code();
        }
      },
      [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
      });
  context.poll();
  for (int i = 1; i <= 5; ++i) publish(channel, std::to_string(i));
  context.poll();
  CHECK(texts == Texts{"1", "2", "3", "4", "5"});
  channel.close();
  context.run_for(patience);
  CHECK(ended == make_error_code(errc::channel_closed));
}

TEST_CASE("a message that expires while nobody reads is no gap for who comes back", "[channel][WIRE-1]") {
  const auto clock = std::make_shared<ManualClock>();
  const Channel channel({.history = {.max_age = 2s}, .clock = clock});
  const Publisher publisher(channel);
  Hand hand;
  std::string last;
  {
    const Subscription live(hand.context.get_executor(), channel);
    last = publisher.publish({.data = "seen"}).value().to_string();
    publisher.publish({.data = "short", .time_to_live = 1s});
    clock->move(2500ms);
  }
  publish(channel, "new");
  Subscription back(hand.context.get_executor(), channel, {.cursor = last});
  const auto got = hand.next(back);
  REQUIRE(got);
  CHECK_FALSE(got->batch.gap);
  CHECK(got->texts() == Texts{"new"});
  CHECK(channel.stats().expired_messages == 1);
}

TEST_CASE("a subscription that may read nothing at once is refused", "[channel][DESIGN-3.10]") {
  const Channel channel;
  net::io_context context;
  CHECK_THROWS_AS(Subscription(context.get_executor(), channel, {.max_batch = 0}), std::invalid_argument);
  CHECK_THROWS_AS(Subscription(context.get_executor(), channel, {.max_batch_bytes = 0}), std::invalid_argument);
  CHECK(channel.subscriber_count() == 0);
}
