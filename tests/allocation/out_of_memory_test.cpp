#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <downlink/channel/channel.hpp>
#include <downlink/channel/publisher.hpp>
#include <downlink/channel/subscription.hpp>
#include <downlink/session/shard.hpp>

#include "allocation/failing.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/manual_clock.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// What a channel holds and says of itself.
struct Seen {
  explicit Seen(const Channel& channel) : stats(channel.stats()), latest(channel.latest()) {
    std::vector<detail::RecordPtr> records;
    detail::Position head = 0;
    auto& state = *detail::ChannelAccess::state(channel);
    state.read_records(state.resume_earliest(), 1000, 1 << 20, records, head);
    for (const auto& record : records) payloads.push_back(record->message.data);
  }

  ChannelStats stats;
  MessageId latest;
  std::vector<std::string> payloads;
};

void check_same(const Seen& seen, const Seen& before) {
  CHECK(seen.latest == before.latest);
  CHECK(seen.payloads == before.payloads);
  CHECK(seen.stats.history_messages == before.stats.history_messages);
  CHECK(seen.stats.history_bytes == before.stats.history_bytes);
  CHECK(seen.stats.retained_messages == before.stats.retained_messages);
  CHECK(seen.stats.retained_bytes == before.stats.retained_bytes);
  CHECK(seen.stats.published_messages == before.stats.published_messages);
  CHECK(seen.stats.published_bytes == before.stats.published_bytes);
  CHECK(seen.stats.evicted_messages == before.stats.evicted_messages);
  CHECK(seen.stats.superseded_messages == before.stats.superseded_messages);
}

const std::string key = "a key that no string has room for in itself";

}  // namespace

TEST_CASE("a message that there is no memory to publish leaves the channel as it was", "[channel][DESIGN-3.3]") {
  const bool keyed = GENERATE(false, true);
  const bool known = GENERATE(false, true);  // whether the key is there already
  const bool mortal = GENERATE(false, true);
  const std::uint64_t full = GENERATE(100, 5);  // with 5 each message evicts one
  CAPTURE(keyed, known, mortal, full);
  const auto clock = std::make_shared<ManualClock>();
  int failures = 0;
  for (const int filled : {4, 21, 31, 42, 63}) {  // some of which fill what is kept in blocks
    bool threw = true;
    for (long which = 0; threw; ++which) {
      CAPTURE(which, filled);
      const Channel channel{{.history = {.max_messages = full}, .clock = clock}};
      const Publisher publisher(channel);
      if (known) REQUIRE(publisher.publish({.data = "old", .key = key, .time_to_live = 1h}));
      for (int i = 0; i < filled; ++i) REQUIRE(publisher.publish({.data = "x", .time_to_live = 1min}));
      const Seen before(channel);
      Message message{.data = "new"};
      if (keyed) message.key = key;
      if (mortal) message.time_to_live = 1s;
      threw = fails_at(which, [&] { publisher.publish(std::move(message)).value(); });
      failures += threw;
      if (threw) check_same(Seen(channel), before);

      // And nothing is left behind that would strike later.
      for (int i = 0; i < 3; ++i) REQUIRE(publisher.publish({.data = "after"}));
      clock->move(2h);
      REQUIRE(publisher.publish({.data = "last"}));
      const Seen after(channel);
      std::vector<std::string> expected{"after", "after", "after", "last"};
      if (!threw && !mortal) expected.insert(expected.begin(), "new");
      CHECK(after.payloads == expected);
      CHECK(after.stats.history_messages == after.payloads.size());
      CHECK(after.stats.published_messages == after.stats.retained_messages + after.stats.evicted_messages +
                                                  after.stats.expired_messages + after.stats.superseded_messages);
    }
  }
  CHECK(failures > 0);
}

TEST_CASE("an id that there is no memory to jump to leaves what the channel has", "[channel][DESIGN-7]") {
  bool threw = true;
  int failures = 0;
  for (long which = 0; threw; ++which) {
    CAPTURE(which);
    Channel channel;
    for (int i = 0; i < 5; ++i) REQUIRE(Publisher(channel).publish({.data = "x", .key = std::to_string(i % 3)}));
    MessageId to = channel.latest();
    ++to.epoch;
    threw = fails_at(which, [&] { channel.append(to, {.data = "new"}).value(); });
    failures += threw;
    REQUIRE(channel.append(to, {.data = "new"}).error() ==
            (threw ? error_code() : make_error_code(errc::offset_not_increasing)));
    const Seen after(channel);
    CHECK(after.latest == to);
    CHECK(after.stats.history_messages == 1);
    CHECK(after.stats.published_messages == after.stats.retained_messages + after.stats.evicted_messages +
                                                after.stats.expired_messages + after.stats.superseded_messages);
  }
  CHECK(failures > 0);
}

TEST_CASE("encodings that there was no memory for are not counted", "[channel][DESIGN-3.5]") {
  struct Plain {
    static void encode(std::string& out, const MessageView& message) { out += message.data; }
  };
  const Channel channel;
  auto& state = *detail::ChannelAccess::state(channel);
  int failures = 0;
  for (int i = 0; i < 40; ++i) {
    REQUIRE(Publisher(channel).publish({.data = std::string(5'000, 'x')}));
    detail::Range range;
    bool threw = true;
    for (long which = 0; threw; ++which) {
      threw = fails_at(which, [&] { state.read(&detail::form_ops<Plain>, 1, {.pieces = 64}, range); });
      failures += threw;
    }
    std::set<const void*> seen;
    std::size_t bytes = 0;
    for (const auto& piece : range.pieces) {
      if (seen.insert(&*piece.segment).second) bytes += piece.segment->footprint();
    }
    CHECK(range.messages == static_cast<std::size_t>(i) + 1);
    CHECK(state.encoded_use().cached == bytes);
  }
  CHECK(failures > 0);
}

TEST_CASE("a subscriber that there is no memory for is not counted", "[session][DESIGN-3.3]") {
  struct Plain {
    static void encode(std::string& out, const MessageView& message) { out += message.data; }
  };
  struct Nowhere final : detail::FeedHost {
    void news(detail::Feed&) noexcept override {}
    void more(detail::Feed&) override {}
    void left(detail::Feed&) override {}
  } host;
  struct Nobody final : detail::Subscriber {
    void advance(detail::Entry&) override {}
    void lagging(detail::Entry&) override {}
    void expired() override {}
  } nobody;
  const bool resumes = GENERATE(false, true);  // with a cursor that no string has room for in itself
  bool threw = true;
  int failures = 0;
  for (long which = 0; threw; ++which) {
    CAPTURE(resumes, which);
    ChannelOptions options;
    const auto clock = std::make_shared<ManualClock>();
    options.clock = clock;
    const auto state = detail::ChannelState::make(options);
    const MessageId far{state->id_of(0).epoch, 123'456'789};
    REQUIRE(state->append({.data = "x", .time_to_live = 10ms}, &far));
    const StartRequest start{resumes ? StartRequest::Kind::cursor : StartRequest::Kind::latest, far.to_string(), 0};
    clock->move(1s);  // whoever joins next has it expire, for which room is needed
    detail::Feed feed(host, state);
    auto& form = feed.form(&detail::form_ops<Plain>, {});
    {
      detail::Entry entry(nobody);
      threw = fails_at(which, [&] { entry.join(form, start, DefaultStart::latest); });
      failures += threw;
      CHECK(state->subscribers() == (threw ? 0 : 1));
      CHECK(feed.unused() == threw);
    }
    CHECK(state->subscribers() == 0);
    feed.leave();
  }
  CHECK(failures > 0);
}

TEST_CASE("what there was memory to publish wakes a subscription, with none left", "[channel][DESIGN-3.3]") {
  bool threw = true;
  int failures = 0;
  for (long which = 0; threw; ++which) {
    CAPTURE(which);
    net::io_context context;
    const Channel channel;
    const Publisher publisher(channel);
    Subscription subscription(context.get_executor(), channel);
    std::vector<std::string> seen;
    const auto take = [&](error_code error, const Batch& batch) {
      CHECK_FALSE(error);
      for (const auto& each : batch.messages) seen.push_back(each.message().data);
    };
    subscription.async_next(take);
    context.poll();
    threw = fails_at(which, [&] { publisher.publish({.data = "x"}).value(); });
    failures += threw;
    context.restart();
    context.poll();
    CHECK(seen == std::vector<std::string>(threw ? 0 : 1, "x"));
    if (threw) REQUIRE(publisher.publish({.data = "x"}));
    context.restart();
    context.poll();
    CHECK(seen == std::vector<std::string>{"x"});
  }
  CHECK(failures > 0);
}

TEST_CASE("a handler that there is no memory to wait with is destroyed where no publisher waits for it",
          "[channel][threads][DESIGN-3.8]") {
  // It may have the subscription, whose end wants a lock that a publisher holds while it wakes who waits. Here it sees
  // whether one can publish now, and keeps the subscription if not, so that the test fails in place of hanging.
  struct Handler {
    void operator()(error_code, const Batch&) {}
    Handler(std::unique_ptr<Subscription>& its, const Channel& from, std::future<void>& result)
        : subscription(std::move(its)), kept(&its), channel(from), publishing(&result) {}
    Handler(Handler&&) = default;
    ~Handler() {
      if (!subscription) return;
      *publishing = std::async(std::launch::async, [&] { Publisher(channel).publish({.data = "x"}).value(); });
      if (publishing->wait_for(1s) != std::future_status::ready) *kept = std::move(subscription);
    }
    std::unique_ptr<Subscription> subscription;
    std::unique_ptr<Subscription>* kept;
    Channel channel;
    std::future<void>* publishing;
  };
  bool threw = true;
  long which = 0;
  for (; threw; ++which) {
    CAPTURE(which);
    net::io_context context;
    const Channel channel;
    std::future<void> publishing;
    auto subscription = std::make_unique<Subscription>(context.get_executor(), channel);
    auto& begun = *subscription;
    begun.async_next(Handler(subscription, channel, publishing));
    threw = fails_at(which, [&] { context.poll(); });
    if (!threw) Publisher(channel).publish({.data = "x"}).value();
    context.restart();
    context.poll();
    CHECK_FALSE(subscription);
    CHECK(channel.subscriber_count() == 0);
  }
  CHECK(which > 1);
}

TEST_CASE("what was handed to a shard is run though what came before it threw, and no memory is left",
          "[session][DESIGN-3.8]") {
  net::io_context io{1};
  const auto shard = std::make_shared<detail::Shard>(io, true);
  std::string ran;
  shard->post([&] {
    failing_allocation = 0;
    throw std::bad_alloc();
  });
  shard->post([&] { ran += 'a'; });
  shard->post([&] { ran += 'b'; });
  CHECK_THROWS_AS(io.run(), std::bad_alloc);
  CHECK(failing_allocation == 0);  // none was asked for
  failing_allocation = -1;
  shard->post([&] { ran += 'c'; });
  io.run();
  CHECK(ran == "abc");
}

TEST_CASE("a timer that finds its shard busy, and no memory left, goes off when the shard is free",
          "[session][threads][DESIGN-3.8]") {
  struct Counting final : detail::Deadline {
    void expired() override { ++count; }
    int count = 0;
  } deadline;
  net::io_context io;
  const auto shard = std::make_shared<detail::Shard>(io, false);
  shard->post([&] {
    shard->set(deadline, 1ms);
    std::thread other([&] { fails_at(0, [&] { io.run_one_for(patience); }); });
    other.join();
  });
  io.run();
  CHECK(deadline.count == 1);
  shard->post([&] { shard->set(deadline, 1ms); });
  io.restart();
  io.run();
  CHECK(deadline.count == 2);
}
