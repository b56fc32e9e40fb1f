#include <downlink/channel/publisher.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/use_future.hpp>
#else
#include <asio/use_future.hpp>
#endif

#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/tracked_executor.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using detail::Position;
using detail::RecordPtr;
using downlink::testing::patience;
using downlink::testing::TrackedExecutor;
using downlink::testing::TrackedLoop;

namespace {

struct Published {
  error_code error;
  MessageId id;
};

/// An engine that keeps what it is given until the test answers.
class SlowEngine final : public Engine {
 public:
  using Done = std::function<void(error_code, MessageId)>;

  void async_publish(Message message, Done done) override { taken.emplace_back(std::move(message), std::move(done)); }

  void answer(error_code error, MessageId id) {
    auto waiting = std::move(taken);
    taken.clear();
    for (auto& [message, done] : waiting) done(error, id);
  }

  std::vector<std::pair<Message, Done>> taken;
};

/// Completes on `context`, into `outcome`.
auto into(std::optional<Published>& outcome, net::io_context& context) {
  return net::bind_executor(context.get_executor(), [&outcome](error_code error, MessageId id) {
    outcome = Published{error, id};
  });
}

std::vector<RecordPtr> records(const Channel& channel) {
  std::vector<RecordPtr> found;
  Position head = 0;
  detail::ChannelAccess::state(channel)->read_records(1, 1'000'000, ~std::size_t{0}, found, head);
  return found;
}

error_code failure(errc value) { return make_error_code(value); }

}  // namespace

TEST_CASE("publishing appends under the next id and is complete on return", "[channel][DESIGN-4]") {
  const Channel channel;
  const Publisher publisher(channel);
  const auto first = publisher.publish({.data = "a", .event = "e"});
  REQUIRE(first);
  CHECK(first.value().offset == 1);
  CHECK_FALSE(first.error());
  const Publisher copy = publisher;
  CHECK(copy.publish({.data = "\xff\xfe", .binary = true}).value().offset == 2);
  const auto found = records(channel);
  REQUIRE(found.size() == 2);
  CHECK(found[0]->message.data == "a");
  CHECK(found[0]->message.event == "e");
  CHECK(found[0]->id == first.value());
  CHECK(found[1]->message.data == "\xff\xfe");
  CHECK(found[1]->message.binary);
}

TEST_CASE("the event `message` is the default event", "[channel][WIRE-4]") {
  const Channel channel;
  REQUIRE(Publisher(channel).publish({.event = "message"}));
  REQUIRE(Publisher(channel).publish({.event = "Message"}));
  CHECK(records(channel)[0]->message.event.empty());
  CHECK(records(channel)[1]->message.event == "Message");
}

TEST_CASE("event names that the wire can't carry are refused", "[channel][WIRE-4]") {
  const Channel channel;
  const Publisher publisher(channel);
  for (const std::string name :
       {"a\nb", "a\rb", "\n", "downlink.gap", "downlink.", "x;base64", ";base64", "\xff", "\xc3", "\xed\xa0\x80"}) {
    CAPTURE(name);
    CHECK(publisher.publish({.event = name}).error() == failure(errc::bad_event_name));
  }
  CHECK(publisher.publish({.event = std::string("a\0b", 3)}).error() == failure(errc::bad_event_name));
  for (const std::string name : {"", "price", "a b", "downlink", "my.downlink.", "base64", "\xc3\xa9"}) {
    CAPTURE(name);
    CHECK(publisher.publish({.event = name}));
  }
}

TEST_CASE("text has to be UTF-8, bytes need not", "[channel][DESIGN-4]") {
  const Channel channel;
  const Publisher publisher(channel);
  for (const std::string data : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    CAPTURE(data);
    CHECK(publisher.publish({.data = data}).error() == failure(errc::not_utf8));
    CHECK(publisher.publish({.data = data, .binary = true}));
  }
  CHECK(publisher.publish({.data = "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"}));
  CHECK(publisher.publish({.data = std::string("a\0b", 3)}));
}

TEST_CASE("a payload may be as large as the channel's limit and no larger", "[channel][DESIGN-3.5]") {
  const Channel channel({.max_message = 100});
  const Publisher publisher(channel);
  CHECK(publisher.publish({.data = std::string(100, 'x')}));
  CHECK(publisher.publish({.data = std::string(101, 'x')}).error() == failure(errc::message_too_large));
  CHECK(publisher.publish({.data = std::string(101, 'x'), .binary = true}).error() == failure(errc::message_too_large));
}

TEST_CASE("a channel's limit on payloads is never above what every encoding can be made of", "[channel][DESIGN-3.5]") {
  CHECK(Channel({.max_message = ~std::size_t{0}}).options().max_message == std::size_t{512} << 20);
  CHECK(Channel({.max_message = std::size_t{512} << 20}).options().max_message == std::size_t{512} << 20);
}

TEST_CASE("a refused message takes no offset", "[channel][DESIGN-3.3]") {
  const Channel channel;
  const Publisher publisher(channel);
  REQUIRE(publisher.publish({}));
  CHECK_FALSE(publisher.publish({.data = "\xff"}));
  CHECK(publisher.publish({}).value().offset == 2);
}

TEST_CASE("after the close publishing is an error", "[channel][DESIGN-4]") {
  Channel channel;
  const Publisher publisher(channel);
  channel.close();
  CHECK(publisher.publish({.data = "late"}).error() == failure(errc::channel_closed));
  net::io_context context;
  std::optional<Published> outcome;
  publisher.async_publish({.data = "late"}, into(outcome, context));
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == failure(errc::channel_closed));
  CHECK(channel.history_size() == 0);
}

TEST_CASE("a publisher may be the last to hold its channel", "[channel][DESIGN-4]") {
  std::optional<Channel> channel = Channel();
  const Publisher publisher(*channel);
  channel.reset();
  CHECK(publisher.publish({}).value().offset == 1);
}

TEST_CASE("publishing asynchronously calls back on the handler's executor, not before it returns",
          "[channel][DESIGN-4]") {
  const Channel channel;
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({.data = "a"}, into(outcome, context));
  CHECK(channel.history_size() == 1);
  CHECK_FALSE(outcome);
  context.run();
  REQUIRE(outcome);
  CHECK_FALSE(outcome->error);
  CHECK(outcome->id == channel.latest());
}

TEST_CASE("publishing asynchronously tells what is wrong with a message", "[channel][DESIGN-4]") {
  const Channel channel;
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({.data = "\xff"}, into(outcome, context));
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == failure(errc::not_utf8));
}

TEST_CASE("publishing asynchronously gives a future", "[channel][DESIGN-4]") {
  Channel channel;
  auto published = Publisher(channel).async_publish({.data = "a"}, net::use_future);
  REQUIRE(published.wait_for(patience) == std::future_status::ready);
  CHECK(published.get() == channel.latest());
  channel.close();
  auto refused = Publisher(channel).async_publish({.data = "a"}, net::use_future);
  REQUIRE(refused.wait_for(patience) == std::future_status::ready);
  CHECK_THROWS_AS(refused.get(), system_error);
}

TEST_CASE("publishing asynchronously calls back a handler without an executor on another thread",
          "[channel][DESIGN-4]") {
  Channel channel;
  std::promise<std::pair<std::thread::id, MessageId>> promise;
  Publisher(channel).async_publish({.data = "a"}, [&promise](error_code, MessageId id) {
    promise.set_value({std::this_thread::get_id(), id});
  });
  auto called = promise.get_future();
  REQUIRE(called.wait_for(patience) == std::future_status::ready);
  const auto [thread, id] = called.get();
  CHECK(thread != std::this_thread::get_id());
  CHECK(id == channel.latest());
}

TEST_CASE("publishing can be awaited in a coroutine", "[channel][DESIGN-4]") {
  Channel channel;
  net::io_context context;
  std::vector<std::uint64_t> offsets;
  bool refused = false;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        const Publisher publisher(channel);
        for (int i = 0; i < 3; ++i) {
          // A variable, because GCC 12 destroys an aggregate twice that is made inside of a co_await expression.
          Message message{.data = "a"};
          const MessageId id = co_await publisher.async_publish(std::move(message), net::use_awaitable);
          offsets.push_back(id.offset);
        }
        channel.close();
        try {
          Message late{.data = "late"};
          co_await publisher.async_publish(std::move(late), net::use_awaitable);
        } catch (const system_error& error) {
          refused = error.code() == failure(errc::channel_closed);
        }
      },
      [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
      });
  context.run();
  CHECK(offsets == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(refused);
}

TEST_CASE("a channel whose log is an engine's is published to asynchronously", "[channel][DESIGN-7]") {
  const auto engine = std::make_shared<SlowEngine>();
  Channel channel({.engine = engine});
  const Publisher publisher(channel);
  CHECK(publisher.publish({.data = "a"}).error() == failure(errc::needs_async));
  CHECK(engine->taken.empty());

  net::io_context context;
  std::optional<Published> outcome;
  publisher.async_publish({.data = "a", .event = "e"}, into(outcome, context));
  context.poll();
  CHECK_FALSE(outcome);
  REQUIRE(engine->taken.size() == 1);
  CHECK(engine->taken[0].first.data == "a");
  CHECK(engine->taken[0].first.event == "e");
  CHECK(channel.history_size() == 0);

  const MessageId id{12, 34};
  CHECK(channel.append(id, {.data = "a", .event = "e"}).value() == id);
  engine->answer({}, id);
  CHECK_FALSE(outcome);
  context.restart();
  context.run();
  REQUIRE(outcome);
  CHECK_FALSE(outcome->error);
  CHECK(outcome->id == id);
  CHECK(channel.latest() == id);
}

TEST_CASE("an engine's error is the publisher's", "[channel][DESIGN-7]") {
  const auto engine = std::make_shared<SlowEngine>();
  const Channel channel({.engine = engine});
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({}, into(outcome, context));
  engine->answer(net::error::make_error_code(net::error::timed_out), {});
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == net::error::make_error_code(net::error::timed_out));
}

TEST_CASE("an engine that throws is an error of the publisher's, and its first answer counts",
          "[channel][DESIGN-3.8]") {
  struct Failing final : Engine {
    explicit Failing(bool first) : answers(first) {}
    void async_publish(Message, std::function<void(error_code, MessageId)> done) override {
      if (answers) done({}, {1, 2});
      throw std::runtime_error("no connection");
    }
    const bool answers;
  };
  const bool answers = GENERATE(true, false);
  const Channel channel({.engine = std::make_shared<Failing>(answers)});
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({}, into(outcome, context));
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == (answers ? error_code() : make_error_code(errc::engine_failed)));
  CHECK(outcome->id.offset == (answers ? 2 : 0));
}

TEST_CASE("once an engine's answer is told, the handler's loop may go", "[channel][DESIGN-3.9]") {
  const auto engine = std::make_shared<SlowEngine>();
  const Channel channel({.engine = engine});
  TrackedLoop loop;
  std::atomic<bool> told{false};
  Publisher(channel).async_publish({}, net::bind_executor(TrackedExecutor(loop), [&](error_code, MessageId) {
                                     loop.end();
                                     told = true;
                                   }));
  CHECK(loop.work == 1);
  engine->answer({}, {1, 1});
  REQUIRE(downlink::testing::eventually([&] { return told.load(); }));
  CHECK(downlink::testing::eventually([&] { return loop.work == 0; }));
  CHECK(loop.touched() == 0);
}

TEST_CASE("an engine outlives the call that it answers, even where the answer lets go of its channel",
          "[channel][threads][DESIGN-7]") {
  struct State {
    std::promise<void> ended;  // the coroutine that waits, and with it the last handle to the channel
    std::atomic<bool> gone{false};
    bool alive = false;
  };
  struct Prompt final : Engine {
    explicit Prompt(State& told) : state(told) {}
    ~Prompt() override { state.gone = true; }
    void async_publish(Message, std::function<void(error_code, MessageId)> done) override {
      auto& kept = state;
      done({}, {1, 1});
      const bool ended = kept.ended.get_future().wait_for(patience) == std::future_status::ready;
      kept.alive = ended && !kept.gone;
    }
    State& state;
  };
  State state;
  net::io_context context;
  net::co_spawn(
      context,
      [](Channel channel) -> net::awaitable<void> {
        const Publisher publisher(std::exchange(channel, Channel()));
        Message message{.data = "a"};
        co_await publisher.async_publish(std::move(message), net::use_awaitable);
      }(Channel({.engine = std::make_shared<Prompt>(state)})),
      [&](std::exception_ptr) { state.ended.set_value(); });
  std::thread first([&] { context.run(); });
  std::thread second([&] { context.run(); });
  first.join();
  second.join();
  CHECK(state.alive);
  CHECK(state.gone);
}

TEST_CASE("an engine gets no message that may not be published", "[channel][DESIGN-7]") {
  const auto engine = std::make_shared<SlowEngine>();
  const Channel channel({.max_message = 3, .engine = engine});
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({.data = "long"}, into(outcome, context));
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == failure(errc::message_too_large));
  CHECK(engine->taken.empty());
}

TEST_CASE("a closed channel is closed for publishing through an engine too", "[channel][DESIGN-4]") {
  const auto engine = std::make_shared<SlowEngine>();
  Channel channel({.engine = engine});
  channel.close();
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({.data = "late"}, into(outcome, context));
  CHECK(engine->taken.empty());
  engine->answer({}, {1, 1});
  context.run();
  REQUIRE(outcome);
  CHECK(outcome->error == failure(errc::channel_closed));
}

TEST_CASE("while an engine has a message, the loop of whoever waits for it has something to do",
          "[channel][DESIGN-7]") {
  const auto engine = std::make_shared<SlowEngine>();
  const Channel channel({.engine = engine});
  net::io_context context;
  std::optional<Published> outcome;
  Publisher(channel).async_publish({}, into(outcome, context));
  context.poll();
  CHECK_FALSE(context.stopped());
  engine->answer({}, {1, 1});
  context.poll();
  CHECK(outcome);
}

TEST_CASE("a future and a coroutine get what an engine on another thread answers", "[channel][threads][DESIGN-7]") {
  struct ThreadEngine final : Engine {
    void async_publish(Message message, std::function<void(error_code, MessageId)> done) override {
      threads.emplace_back([done = std::move(done), size = message.data.size()] { done({}, {9, size}); });
    }
    ~ThreadEngine() override {
      for (auto& thread : threads) thread.join();
    }
    std::vector<std::thread> threads;
  };
  const auto engine = std::make_shared<ThreadEngine>();
  const Channel channel({.engine = engine});
  const Publisher publisher(channel);
  auto published = publisher.async_publish({.data = "four"}, net::use_future);
  REQUIRE(published.wait_for(patience) == std::future_status::ready);
  CHECK(published.get() == MessageId{9, 4});

  net::io_context context;
  std::optional<MessageId> id;
  net::co_spawn(
      context,
      [&]() -> net::awaitable<void> {
        Message message{.data = "three"};
        id = co_await publisher.async_publish(std::move(message), net::use_awaitable);
      },
      [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
      });
  context.run_for(patience);
  CHECK(id == MessageId{9, 5});
}

TEST_CASE("many threads that publish get dense offsets, each in its own order", "[channel][threads][DESIGN-3.3]") {
  constexpr std::uint64_t threads = 4;
  constexpr std::uint64_t each = 3000;
  const Channel channel({.history = {.max_messages = threads * each}});
  std::vector<std::vector<std::uint64_t>> offsets(threads);
  std::vector<std::thread> running;
  for (std::uint64_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      const Publisher publisher(channel);
      for (std::uint64_t i = 0; i < each; ++i) {
        const auto id = publisher.publish({.data = std::to_string(thread) + ":" + std::to_string(i)});
        offsets[thread].push_back(id ? id.value().offset : 0);
      }
    });
  }
  for (auto& thread : running) thread.join();

  std::vector<std::uint64_t> all;
  const auto found = records(channel);
  REQUIRE(found.size() == threads * each);
  for (std::uint64_t thread = 0; thread < threads; ++thread) {
    CHECK(std::is_sorted(offsets[thread].begin(), offsets[thread].end()));
    all.insert(all.end(), offsets[thread].begin(), offsets[thread].end());
    for (std::uint64_t i = 0; i < each; ++i) {
      const auto& data = found[offsets[thread][i] - 1]->message.data;
      if (data != std::to_string(thread) + ":" + std::to_string(i)) FAIL(data);
    }
  }
  std::sort(all.begin(), all.end());
  for (std::uint64_t i = 0; i < all.size(); ++i) {
    if (all[i] != i + 1) FAIL("offset " << all[i] << " for " << i + 1);
  }
}
