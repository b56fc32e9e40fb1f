#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

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
  std::array<Channel, 2> channels;
  Reader staying;
  Reader restless;
  std::shared_ptr<Shard> shard;
  std::atomic<bool> over = false;
  int rounds = 200'000;
  std::function<void()> rejoin;
  testing::Loop loop;
  shard = std::make_shared<Shard>(loop.context(), true);
  const auto end = std::chrono::steady_clock::now() + 10s;
  rejoin = [&] {
    restless.rejoin(*shard, channels[1]);
    if (--rounds > 0 && std::chrono::steady_clock::now() < end) return shard->post(rejoin);
    over = true;
  };
  shard->post([&] { staying.rejoin(*shard, channels[0]); });
  shard->post(rejoin);
  {
    const std::jthread publishing([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (const auto& channel : channels) Publisher(channel).publish({.data = "news"});
      }
    });
    REQUIRE(testing::eventually([&] { return over.load(); }, 60s));
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
  loop.stop();
  shard.reset();  // before its context goes
}

namespace {

/// Something on a shard that goes when it is told to, or when its own time is over.
struct Member final : ShardMember, Deadline {
  explicit Member(Shard& on) : shard(on) { shard.add(*this); }
  void shut_down() override { shard.remove(*this); }
  void drain(std::chrono::milliseconds) override {
    if (goes) shard.remove(*this);
  }
  void expired() override { shard.remove(*this); }
  Shard& shard;
  bool goes = false;
};

}  // namespace

TEST_CASE("a drain leaves the deadlines of what is still at work as they are", "[session][WIRE-9]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Member first(*shard);
  first.goes = true;
  Member second(*shard);
  shard->set(second, 50ms);
  bool drained = false;
  shard->post([&] { shard->drain(1h, [&] { drained = true; }); });
  io.run_for(20s);
  CHECK(drained);  // when the second's time was over
}

TEST_CASE("a second drain completes with the first, at the earlier end", "[session][WIRE-9]") {
  using Times = std::pair<std::chrono::milliseconds, std::chrono::milliseconds>;
  const auto times = GENERATE(Times(1h, 50ms), Times(50ms, 1h), Times(std::chrono::milliseconds::max(), 50ms));
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  const Member staying(*shard);
  std::string told;
  shard->post([&] {
    shard->drain(times.first, [&] { told += '1'; });
    shard->drain(times.second, [&] { told += '2'; });
  });
  io.run_for(20s);
  CHECK(told == "12");
}

TEST_CASE("a shard goes on after what was run on it has thrown", "[session][DESIGN-3.8]") {
  const bool one_thread = GENERATE(true, false);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, one_thread);
  std::string ran;
  shard->post([&] { ran += 'a'; });
  shard->post([&] {
    ran += 'b';
    throw std::runtime_error("the application's");
  });
  shard->post([&] { ran += 'c'; });
  CHECK_THROWS_AS(io.run(), std::runtime_error);
  CHECK(ran == "ab");
  io.run();
  CHECK(ran == "abc");

  // News are not lost by it either.
  const Channel channel;
  Reader reader;
  shard->post([&] {
    reader.rejoin(*shard, channel);
    Publisher(channel).publish({.data = "news"});
    throw std::runtime_error("the application's");
  });
  io.restart();
  CHECK_THROWS_AS(io.run(), std::runtime_error);
  io.run();
  CHECK(reader.entry.next == 2);
  reader.entry.leave();
  shard->post([&] { ran += 'd'; });
  io.restart();
  io.run();
  CHECK(ran == "abcd");
}

namespace {

/// Has more to send, whenever it is visited.
struct Endless final : Subscriber {
  void advance(Entry& visited) override {
    ++visits;
    visited.feed->again(visited);
  }
  void lagging(Entry&) override {}
  void expired() override {}
  int visits = 0;
  Entry entry{*this};
};

/// Sends everything whole.
struct Together final : BatchedFanOut {
  void send(std::span<Sending> sendings) override {
    for (auto& sending : sendings) sending.result = {IoResult::State::moved, sending.bytes.size()};
  }
};

}  // namespace

TEST_CASE("who has more to send than at once keeps nobody of another wire form waiting", "[session][DESIGN-3.7]") {
  static constexpr FormOps other{&WebSocketRaw::encode};
  const bool first = GENERATE(true, false);
  const bool batched = GENERATE(true, false);
  Channel channel;
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  if (batched) shard->fan_out_with(std::make_unique<Together>());
  Feed& feed = shard->feed(ChannelAccess::state(channel));
  FormFeed& earlier = feed.form(&form_ops<WebSocketRaw>, {});
  FormFeed& later = feed.form(&other, {});
  Endless resumer;
  Reader reader;
  resumer.entry.join(first ? earlier : later, {}, DefaultStart::latest);
  reader.entry.join(first ? later : earlier, {}, DefaultStart::latest);
  io.poll();
  for (Position round = 1; round <= 3; ++round) {
    Publisher(channel).publish({.data = "news"});
    const int before = resumer.visits;
    io.restart();
    while (reader.entry.next <= round && resumer.visits < before + 1000) io.poll_one();
    CHECK(reader.entry.next == round + 1);
    CHECK(resumer.visits - before <= 2 * 256);  // its own turn, and the one in which the other's comes
  }
  resumer.entry.leave();
  reader.entry.leave();
}

namespace {

/// Takes what it is sent, alone or together with others.
struct Taker final : Subscriber {
  void advance(Entry& visited) override { visited.next = visited.feed->range(visited.next).range.next; }
  void lagging(Entry&) override {}
  void expired() override {}
  int socket_to_send() const override { return together ? 1 : -1; }
  bool sent(Entry& entered, const Sendable& sendable, const IoResult&) override {
    if (fails) throw std::bad_alloc();
    entered.next = sendable.range.next;
    return true;
  }
  void lost(Entry& entered) override {
    gone = true;
    entered.leave();
    if (fails) throw std::bad_alloc();
  }

  bool together = false;
  bool fails = false;
  bool gone = false;
  Entry entry{*this};
};

}  // namespace

TEST_CASE("what a round has sent is not kept by the shard after it", "[session][DESIGN-3.5]") {
  const bool batched = GENERATE(true, false);
  const bool stays = GENERATE(true, false);
  Channel channel{{.max_encoded = 1}};
  const auto& state = ChannelAccess::state(channel);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  if (batched) shard->fan_out_with(std::make_unique<Together>());
  Taker taker;
  taker.together = batched && GENERATE(true, false);
  taker.entry.join(shard->feed(state).form(&form_ops<WebSocketRaw>, {}), {}, DefaultStart::latest);
  Taker polling;  // in another form, which keeps the feed
  static constexpr FormOps other{&WebSocketRaw::encode};
  polling.entry.join(shard->feed(state).form(&other, {}), {}, DefaultStart::latest);
  Publisher(channel).publish({.data = "news"});
  io.poll();
  CHECK(taker.entry.next == 2);
  if (!stays) taker.entry.leave();
  // The cache drops what was sent when somebody else reads on.
  for (int i = 0; i < 10; ++i) {
    Publisher(channel).publish({.data = std::string(64 << 10, '.')});
    Range range;
    state->read(&form_ops<WebSocketRaw>, state->head(), {}, range);
  }
  CHECK(state->encoded_use().pinned == 0);
  taker.entry.leave();
  polling.entry.leave();
}

TEST_CASE("one subscriber of a round for which there is no memory costs no other one anything",
          "[session][DESIGN-3.8]") {
  Channel channel;
  const auto& state = ChannelAccess::state(channel);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  shard->fan_out_with(std::make_unique<Together>());
  std::array<Taker, 5> takers;
  for (auto& taker : takers) {
    taker.together = true;
    taker.entry.join(shard->feed(state).form(&form_ops<WebSocketRaw>, {}), {}, DefaultStart::latest);
  }
  takers[0].fails = takers[2].fails = true;
  Publisher(channel).publish({.data = "news"});
  io.poll();
  for (auto& taker : takers) {
    CHECK(taker.gone == taker.fails);
    if (!taker.gone) CHECK(taker.entry.next == 2);
    taker.entry.leave();
  }
}

TEST_CASE("a reset for which there is no memory costs no channel its round", "[session][DESIGN-3.8]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Pinned pinned;
  pinned.start(*shard);
  Callback hold;
  int asked = 0;
  hold.call = [&] {
    ++asked;
    throw std::bad_alloc();
  };
  shard->pin(hold);
  const std::array<Channel, 4> others;
  std::array<Reader, 4> readers;
  for (std::size_t i = 0; i < others.size(); ++i) readers[i].rejoin(*shard, others[i]);
  io.poll();
  for (std::size_t i = 0; i < others.size(); ++i) {
    Publisher(others[i]).publish({.data = "news"});
    if (i == 1) Publisher(pinned.channel).publish({.data = "news"});
  }
  io.restart();
  io.poll();
  CHECK(asked == 1);
  for (auto& reader : readers) {
    CHECK(reader.entry.next == 2);
    reader.entry.leave();
  }
  pinned.reader.entry.leave();
}

TEST_CASE("who comes to an earlier form in a callback is visited in the same round", "[session][DESIGN-3.3]") {
  struct Caller final : Subscriber {
    void advance(Entry& visited) override {
      visited.next = visited.feed->owner().channel()->head() + 1;
      if (call) call();
    }
    void lagging(Entry&) override {}
    void expired() override {}
    std::function<void()> call;
    Entry entry{*this};
  };
  Channel channel;
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  const auto& feed = [&]() -> Feed& { return shard->feed(ChannelAccess::state(channel)); };
  static constexpr FormOps other{&WebSocketRaw::encode};
  FormFeed& earlier = feed().form(&form_ops<WebSocketRaw>, {});
  FormFeed& later = feed().form(&other, {});
  Reader there;  // keeps the earlier form in use
  there.entry.join(earlier, {}, DefaultStart::latest);
  Reader newcomer;
  Caller caller;
  caller.entry.join(later, {}, DefaultStart::latest);
  io.poll();
  caller.call = [&] {
    newcomer.entry.join(earlier, {StartRequest::Kind::earliest, {}, 0}, DefaultStart::earliest);
    earlier.again(newcomer.entry);  // as one does that has more to send than at once
  };
  Publisher(channel).publish({.data = "news"});
  io.restart();
  io.poll();
  CHECK(newcomer.entry.next == 2);
  newcomer.entry.leave();
  caller.entry.leave();
  there.entry.leave();
}
