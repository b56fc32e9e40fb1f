#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/publisher.hpp>
#include <downlink/session/stream_session.hpp>

#include "support/catch.hpp"
#include "support/manual_clock.hpp"
#include "support/quiet_carrier.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

struct Plain {
  static void encode(std::string& out, const MessageView& message) { out += message.data; }
};

constexpr StreamOps plain_ops{&form_ops<Plain>,
                              {},
                              true,
                              false,
                              false,
                              [](std::string& out, const Opening&) { out += "open"; },
                              [](std::string& out, const GapNotice& notice) {
                                out.append("gap after ").append(notice.requested);
                                out.append(", on from ").append(notice.cursor).append(";");
                              },
                              [](std::string& out) { out += "beat"; },
                              [](std::string& out, const MessageView& message) { out += message.data; },
                              [](std::string& out, const Ending&) { out += "end"; }};

/// A peer that takes what `takes` says of what it is offered.
struct TestCarrier final : QuietCarrier {
  explicit TestCarrier(Shard& shard, std::function<std::size_t(std::size_t)> taker)
      : QuietCarrier(shard), takes(std::move(taker)), session(*this, plain_ops) {}
  ~TestCarrier() { session.abandon(); }

  void start(const Channel& channel, const StartRequest& start) {
    auto& feed = shard().feed(ChannelAccess::state(channel));
    const auto begin = session.join(feed, start, DefaultStart::latest);
    session.open("head", *begin, start);
  }

  IoResult try_write(std::span<const net::const_buffer> buffers) override {
    if (sees) sees(static_cast<const char*>(buffers.front().data()));
    const std::size_t taken = takes(net::buffer_size(buffers));
    if (taken == 0) return {IoResult::State::would_block, 0};
    for (const auto& buffer : buffers) written.append(static_cast<const char*>(buffer.data()), buffer.size());
    return {IoResult::State::moved, taken};
  }
  std::chrono::milliseconds unacknowledged() const override { return silence; }
  std::uint32_t untaken() const override { return waits ? waits() : not_known; }
  bool peer_took() const override { return !writes_complete_later; }
  void session_broken(EndReason) override {
    broken = true;
    session.abandon();
  }

  std::function<std::size_t(std::size_t)> takes;
  std::function<void(const char*)> sees;  // what is offered
  std::string written;                    // where all is taken
  bool broken = false;
  bool writes_complete_later = false;
  std::chrono::milliseconds silence{0};
  std::function<std::uint32_t()> waits;  // in the system, for the peer
  StreamSession session;
};

// Takes all at first, then a little of one offer.
auto stalling() {
  return [offers = 0](std::size_t size) mutable { return ++offers == 1 ? size : offers == 2 ? std::size_t{100} : 0; };
}

}  // namespace

TEST_CASE("who stalls in a backlog that it asked for holds no more than max_pinned with the others",
          "[session][DESIGN-3.5]") {
  const bool ends = GENERATE(false, true);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel({.history = {.max_messages = 600}, .max_encoded = 256 << 10, .max_pinned = 1 << 20});
  std::vector<MessageId> ids;
  for (int i = 0; i < 600; ++i) ids.push_back(Publisher(channel).publish({.data = std::string(10'000, 'x')}).value());
  std::vector<std::unique_ptr<TestCarrier>> readers;
  shard->post([&] {
    for (std::size_t i = 0; i < 100; ++i) {
      readers.push_back(std::make_unique<TestCarrier>(*shard, stalling()));
      readers.back()->start(channel, {StartRequest::Kind::cursor, ids[i * 61 % 500].to_string(), 0});
    }
  });
  io.poll();
  if (ends) {
    shard->post([&] {
      for (auto& reader : readers) reader->session.end({EndReason::shutdown, "over"});
    });
    io.restart();
    io.poll();
  }
  // Nothing has been published since: nothing but the stalls themselves can have called for relief.
  const auto& use = ChannelAccess::state(channel)->encoded_use();
  CHECK(use.pinned <= (1 << 20));
  std::size_t broken = 0;
  for (const auto& reader : readers) broken += reader->broken ? 1 : 0;
  CHECK(broken > 0);
  CHECK(broken < readers.size());
}

TEST_CASE("who stalls inside the newest messages is held to max_pinned too, and who holds what is cached stays",
          "[session][DESIGN-3.5][WIRE-7]") {
  constexpr std::size_t size = 100'000;
  constexpr std::size_t room = 5 * size;
  const std::size_t left = GENERATE(size - 100, std::size_t{100});  // of the message that each stalls in
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel({.max_lag = 64 << 20, .max_encoded = 1, .max_pinned = room});
  const auto& use = ChannelAccess::state(channel)->encoded_use();
  std::vector<std::unique_ptr<TestCarrier>> readers;
  for (int i = 0; i < 20; ++i) {
    shard->post([&] {
      readers.push_back(std::make_unique<TestCarrier>(*shard, [left, stalls = false](std::size_t offered) mutable {
        return offered < size ? offered : std::exchange(stalls, true) ? 0 : offered - left;
      }));
      readers.back()->start(channel, {});
    });
    io.restart();
    io.poll();
    Publisher(channel).publish({.data = std::string(size, 'x')});
    io.restart();
    io.poll();
    CHECK(use.pinned <= room + size + 1000);  // with what the last message has made its cache drop
  }
  std::size_t broken = 0;
  while (broken < readers.size() && readers[broken]->broken) ++broken;
  CHECK(broken == (left == 100 ? 0 : readers.size() - 6));  // who has stalled longest, and no more than must be
  for (std::size_t i = broken; i < readers.size(); ++i) CHECK_FALSE(readers[i]->broken);
}

TEST_CASE("a session that has sent its last byte has no deadline any more", "[session][WIRE-8]") {
  const bool stalls = GENERATE(false, true);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  bool taking = true;
  TestCarrier reader(*shard, [&](std::size_t size) { return taking ? size : 0; });
  const Deadline& deadline = reader.session;
  shard->post([&] {
    reader.start(channel, {});
    CHECK(deadline.linked());
    taking = !stalls;
    reader.session.end({EndReason::too_big, "over"});
    CHECK(deadline.linked() == stalls);
    taking = true;
    if (stalls) reader.session.writable();
    CHECK_FALSE(deadline.linked());
  });
  io.poll();
}

TEST_CASE("who is told of a gap while more is published than it can follow leaves the loop its turns",
          "[session][DESIGN-3.7][WIRE-7]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel({.history = {.max_messages = 1}, .max_lag_messages = 1, .lag_policy = LagPolicy::skip});
  const Publisher publisher(channel);
  bool publishing = false;
  std::size_t offers = 0;
  std::size_t most = 0;
  TestCarrier reader(*shard, [&](std::size_t size) {
    // As if publishers on other threads were faster than any send.
    if (publishing) {
      for (int i = 0; i < 3; ++i) publisher.publish({.data = "news"});
    }
    ++offers;
    return size;
  });
  shard->post([&] { reader.start(channel, {}); });
  io.poll();
  publishing = true;
  for (int i = 0; i < 3; ++i) publisher.publish({.data = "news"});
  io.restart();
  for (int turns = 0; turns < 100; ++turns) {
    offers = 0;
    io.poll_one();
    most = std::max(most, offers);
  }
  CHECK(most <= 600);  // what a turn may send
  publishing = false;
  io.restart();
  io.poll();
  CHECK(ChannelAccess::state(channel)->stats().skips > 0);
}

TEST_CASE("a skip goes forward only, and is told of once, where the messages that made it have expired since",
          "[session][DESIGN-3.3][WIRE-7]") {
  const std::size_t lasting = GENERATE(0U, 1U, 2U);
  const bool seen = GENERATE(true, false);  // by another reader, before this one goes on
  const auto clock = std::make_shared<testing::ManualClock>();
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel({.max_lag_messages = 4, .lag_policy = LagPolicy::skip, .clock = clock});
  auto& state = *ChannelAccess::state(channel);
  const Publisher publisher(channel);
  bool takes = true;
  TestCarrier reader(*shard, [&](std::size_t size) { return takes ? size : 0; });
  const auto some_turns = [&] {
    io.restart();
    for (int turns = 0; turns < 100; ++turns) io.poll_one();
  };
  shard->post([&] { reader.start(channel, {}); });
  some_turns();
  const auto first = publisher.publish({.data = "first;"}).value().to_string();
  some_turns();
  CHECK(reader.written == "headopenfirst;");
  reader.written.clear();

  takes = false;
  std::string passed_over;
  for (std::size_t i = 0; i < lasting; ++i) {
    if (i > 0) passed_over = state.id_of(state.head()).to_string();
    publisher.publish({.data = "lasting;"});
    some_turns();
  }
  for (int i = 0; i < 12; ++i) {
    publisher.publish({.data = "short-lived;", .time_to_live = 1s});
    some_turns();
  }
  clock->move(2s);
  if (seen) state.start({}, DefaultStart::latest);
  takes = true;
  shard->post([&] { reader.session.writable(); });
  some_turns();
  publisher.publish({.data = "news;"});
  some_turns();
  // Only where there were two was a live one passed over.
  std::string expected = lasting > 0 ? "lasting;news;" : "news;";
  if (lasting == 2) expected.insert(0, "gap after " + first + ", on from " + passed_over + ";");
  CHECK(reader.written == expected);
  CHECK(state.stats().skips == (lasting == 2 ? 1 : 0));
}

TEST_CASE("a skip over messages that have expired, after bounds had removed live ones, is told of as a gap",
          "[session][WIRE-1][WIRE-7]") {
  const auto clock = std::make_shared<testing::ManualClock>();
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel(
      {.history = {.max_messages = 2}, .max_lag_messages = 4, .lag_policy = LagPolicy::skip, .clock = clock});
  const Publisher publisher(channel);
  bool takes = true;
  TestCarrier reader(*shard, [&](std::size_t size) { return takes ? size : 0; });
  shard->post([&] { reader.start(channel, {}); });
  io.poll();
  const auto first = publisher.publish({.data = "first;"}).value().to_string();
  io.restart();
  io.poll();
  reader.written.clear();
  takes = false;
  std::string last;
  for (int i = 0; i < 12; ++i) {
    last = publisher.publish({.data = "short-lived;", .time_to_live = 1s}).value().to_string();
    io.restart();
    io.poll();
  }
  clock->move(2s);
  takes = true;
  shard->post([&] { reader.session.writable(); });
  io.restart();
  io.poll();
  CHECK(reader.written == "gap after " + first + ", on from " + last + ";");
}

TEST_CASE(
    "a peer whose system acknowledges bytes is not reset, one whose does no more is soon after the write time-out",
    "[session][WIRE-9]") {
  using Steady = std::chrono::steady_clock;
  const bool known = GENERATE(true, false);
  const auto heartbeat = GENERATE(20ms, 200ms, 10'000ms);
  CAPTURE(known, heartbeat / 1ms);
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  TestCarrier reader(*shard, stalling());
  reader.options.heartbeat = heartbeat;
  reader.options.write_timeout = 400ms;
  std::uint32_t held = 1 << 20;
  auto last = Steady::now();  // that something was taken
  if (known) reader.waits = [&] { return held; };
  shard->post([&] { reader.start(channel, {}); });
  io.poll();
  Publisher(channel).publish({.data = std::string(1000, 'x')});
  const auto run_for = [&](std::chrono::milliseconds time) {
    const auto end = Steady::now() + time;
    io.restart();
    while (!reader.broken && io.run_one_until(end) > 0) {
    }
  };
  for (int i = 0; known && i < 10; ++i) {
    run_for(100ms);
    REQUIRE_FALSE(reader.broken);
    --held;
    last = Steady::now();
  }
  run_for(10s);
  CHECK(reader.broken);
  CHECK(Steady::now() - last >= 400ms);
  CHECK(Steady::now() - last <= 5s);  // for a machine with other things to do
}

TEST_CASE("who stops taking right after it has gone on is reset in time where each write completes later",
          "[session][WIRE-9]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  std::size_t room = 10'000;
  TestCarrier reader(*shard, [&](std::size_t size) {
    const std::size_t taken = std::min(size, room);
    room -= taken;
    return taken;
  });
  reader.writes_complete_later = true;
  reader.options.heartbeat = 1min;
  reader.options.write_timeout = 1s;
  const Publisher publisher(channel);
  const auto run_for = [&](std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    io.restart();
    while (!reader.broken && io.run_one_until(end) > 0) {
    }
  };
  shard->post([&] { reader.start(channel, {}); });
  run_for(10ms);
  room = 100;
  publisher.publish({.data = std::string(1000, 'x')});
  run_for(10ms);
  room = 10'000;
  shard->post([&] { reader.session.writable(); });
  run_for(20ms);
  room = 100;
  publisher.publish({.data = std::string(1000, 'x')});
  run_for(20s);
  CHECK(reader.broken);
}

TEST_CASE("a peer whose queue is full is told to close once, however often it is sent to", "[session][DESIGN-3.5]") {
  struct Counting final : PeerState::Link {
    void send_to_peer(Message, std::shared_ptr<PeerState>) override {}
    void close_peer(bool) override { ++closed; }
    int closed = 0;
  };
  Counting link;
  // All of a message counts.
  const Message message =
      GENERATE(Message{}, Message{.data = std::string(1000, 'x')}, Message{.event = std::string(1000, 'x')});
  const std::size_t size = sizeof message + message.data.size() + message.event.size();
  const auto state = std::make_shared<PeerState>(Identity{}, 10 * size);
  state->link = &link;
  state->takes_replies = true;
  const Peer peer(state);
  for (int i = 0; i < 1000; ++i) {
    const auto error = peer.send(message);
    CHECK(error == (i < 10 ? error_code() : make_error_code(errc::peer_queue_full)));
  }
  peer.close();
  CHECK(link.closed == 1);
}

TEST_CASE("a peer that always leaves a part of its replies has no more kept than it leaves", "[session][DESIGN-3.5]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  std::size_t room = 1 << 20;
  std::vector<const char*> offered;
  TestCarrier reader(*shard, [&](std::size_t size) { return std::min(size, std::exchange(room, 0)); });
  reader.sees = [&](const char* bytes) { offered.push_back(bytes); };
  const std::string reply(1000, 'x');
  shard->post([&] {
    reader.start(channel, {});
    room = 0;
    for (int i = 0; i < 8; ++i) CHECK(reader.session.reply({.data = reply}));
    for (int i = 0; i < 4000; ++i) {
      if (i == 2000) offered.clear();
      CHECK(reader.session.reply({.data = reply}));
      room = reply.size();
      reader.session.writable();
    }
  });
  io.poll();
  CHECK(reader.session.queued() == 8 * reply.size());
  // All of it lies in one block of a few times the size.
  const auto [first, last] = std::minmax_element(offered.begin(), offered.end());
  CHECK(*last - *first < 100'000);
}

TEST_CASE("a peer is given up when it was out of reach twice in a row, not where the loop was held up once",
          "[session][DESIGN-3.5]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  TestCarrier reader(*shard, [](std::size_t size) { return size; });
  Deadline& deadline = reader.session;
  shard->post([&] {
    reader.start(channel, {});
    for (int i = 0; i < 3; ++i) {
      reader.silence = 10min;
      deadline.expired();
      CHECK_FALSE(reader.broken);
      CHECK(deadline.linked());
      reader.silence = 0ms;
      deadline.expired();
      CHECK_FALSE(reader.broken);
    }
    reader.silence = 10min;
    deadline.expired();
    CHECK_FALSE(reader.broken);
    deadline.expired();
    CHECK(reader.broken);
  });
  io.poll();
}
