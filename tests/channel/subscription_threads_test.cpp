#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "channel/asking.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("a message from another thread wakes a subscription that waits", "[channel][threads][DESIGN-2]") {
  const Channel channel;
  Loop loop;
  Subscription subscription(loop.context().get_executor(), channel);
  for (int i = 0; i < 200; ++i) {
    auto future = ask(subscription);
    publish(channel, std::to_string(i));
    CHECK(wait(std::move(future)).texts() == Texts{std::to_string(i)});
  }
}

TEST_CASE("a burst from another thread reaches a subscriber within max_lag whole, though the history is one message",
          "[channel][threads][WIRE-7]") {
  constexpr std::uint64_t count = 10'000;
  const Channel channel({.history = {.max_messages = 1}});
  Loop loop;
  Subscription subscription(loop.context().get_executor(), channel);
  std::thread publishing([&] {
    for (std::uint64_t i = 1; i <= count; ++i) publish(channel, std::to_string(i));
  });
  std::uint64_t seen = 0;
  bool gap = false;
  bool in_order = true;
  while (seen < count && !gap && in_order) {
    const Outcome got = wait(ask(subscription));
    gap = got.batch.gap;
    for (const auto& delivered : got.batch.messages) {
      in_order = in_order && delivered.id().offset == ++seen && delivered.message().data == std::to_string(seen);
    }
  }
  publishing.join();
  CHECK_FALSE(gap);
  CHECK(in_order);
  CHECK(seen == count);
}

TEST_CASE("several threads may run the loop of a subscription whose handlers read on", "[channel][threads][DESIGN-2]") {
  constexpr int count = 5'000;
  const Channel channel;
  net::io_context context;
  Subscription subscription(context.get_executor(), channel);
  int seen = 0;  // by one handler at a time
  bool in_order = true;
  std::function<void()> read_on = [&] {
    subscription.async_next([&](error_code, const Batch& batch) {
      for (const auto& delivered : batch.messages)
        in_order = in_order && delivered.id().offset == std::uint64_t(++seen);
      if (in_order && seen < count) read_on();
    });
  };
  read_on();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run_for(20s); });
  for (int i = 1; i <= count; ++i) {
    publish(channel, "x");
    if (i % 16 == 0) std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  CHECK(in_order);
  CHECK(seen == count);
}

namespace {

/// Runs `publish` on a thread of its own at the same moment as `subscribe` on this one, or up to 100 us later, over and
/// over: it meets every step of the other one.
template <class Publish, class Subscribe>
void at_the_same_time(int rounds, Publish&& publish, Subscribe&& subscribe) {
  const auto end = std::chrono::steady_clock::now() + 2s;
  std::atomic<bool> over{false};
  std::barrier start(2);
  std::thread publishing([&] {
    for (int round = 0;; ++round) {
      start.arrive_and_wait();
      if (over) return;
      const auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds(round * 7 % 100);
      while (std::chrono::steady_clock::now() < moment) {
      }
      publish();
      start.arrive_and_wait();
    }
  });
  std::exception_ptr failed;
  for (int round = 0; round < rounds && !failed && std::chrono::steady_clock::now() < end; ++round) {
    start.arrive_and_wait();
    try {
      subscribe();
    } catch (...) {
      failed = std::current_exception();
    }
    start.arrive_and_wait();
  }
  over = true;
  start.arrive_and_wait();
  publishing.join();
  if (failed) std::rethrow_exception(failed);
}

}  // namespace

TEST_CASE("a message that is published while a subscription begins to wait always arrives",
          "[channel][threads][DESIGN-2]") {
  const Channel channel;
  std::atomic<int> sent{0};
  int received = 0;
  Loop loop;
  Subscription subscription(loop.context().get_executor(), channel);
  at_the_same_time(
      5000, [&] { publish(channel, std::to_string(++sent)); },
      [&] {
        const Outcome got = wait(ask(subscription));
        REQUIRE(got.texts() == Texts{std::to_string(++received)});
      });
  CHECK(received == sent);
}

TEST_CASE("a message that is published while a subscription comes into being always arrives",
          "[channel][threads][DESIGN-2]") {
  std::optional<Channel> channel;
  channel.emplace();
  Loop loop;
  at_the_same_time(
      3000, [&] { publish(*channel, "only"); },
      [&] {
        Subscription subscription(loop.context().get_executor(), *channel, {.cursor = "earliest"});
        REQUIRE(wait(ask(subscription)).texts().back() == "only");
        // The next round's subscription finds nothing before it.
        subscription = Subscription(loop.context().get_executor(), *channel);
      });
}

TEST_CASE("a message always arrives where the handler has an executor of its own", "[channel][threads][DESIGN-2]") {
  const Channel channel;
  std::atomic<int> sent{0};
  int received = 0;
  Loop loop(2);
  Subscription subscription(loop.context(0).get_executor(), channel);
  at_the_same_time(
      5000, [&] { publish(channel, std::to_string(++sent)); },
      [&] {
        const Outcome got = wait(ask_from(loop.context(1).get_executor(), subscription));
        REQUIRE(got.texts() == Texts{std::to_string(++received)});
      });
  CHECK(received == sent);
}

TEST_CASE("subscriptions that come and go while others publish miss nothing in between",
          "[channel][threads][DESIGN-3.9]") {
  const Channel channel({.history = {.max_messages = 10}});
  std::atomic<bool> done{false};
  std::thread publishing([&] {
    while (!done) publish(channel, "x");
  });
  {
    Loop loop;
    for (int round = 0; round < 300; ++round) {
      Subscription subscription(loop.context().get_executor(), channel);
      std::uint64_t last = 0;
      for (int i = 0; i < 3; ++i) {
        const Outcome got = wait(ask(subscription));
        for (const auto& delivered : got.batch.messages) {
          if (last != 0 && !got.batch.gap && delivered.id().offset != last + 1) FAIL("after " << last);
          last = delivered.id().offset;
        }
      }
      // Destroyed while it waits, every other time.
      if (round % 2) subscription.async_next([](error_code, Batch) {});
    }
  }
  done = true;
  publishing.join();
  CHECK(channel.subscriber_count() == 0);
}
