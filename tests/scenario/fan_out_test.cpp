#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// Time that the test moves by hand.
class HandClock final : public Clock {
 public:
  TimePoint now() const noexcept override {
    return TimePoint(std::chrono::hours(1)) + std::chrono::milliseconds(passed_);
  }
  void pass(std::chrono::milliseconds time) { passed_ += time.count(); }

 private:
  std::atomic<std::int64_t> passed_{0};
};

struct FanOutServer {
  explicit FanOutServer(ChannelOptions channel_options = {}, EndpointOptions endpoint = {}, std::size_t shards = 1,
                        std::function<void(Peer)> on_subscribe = {})
      : channel(std::move(channel_options)),
        publisher(channel),
        loop(shards),
        server(loop.contexts(), {.endpoint = std::move(endpoint)}) {
    server.route("/c", channel);
    if (on_subscribe) server.on_subscribe(std::move(on_subscribe));
    server.start();
  }
  std::uint16_t port() const { return server.port(); }
  std::string publish(Message message) { return publisher.publish(std::move(message)).value().to_string(); }
  /// Returns when the loop has done what was there to do.
  void settle() {
    for (int i = 0; i < 4; ++i) loop.run_on([] {});
  }
  /// Fills the way to a client that does not read: the rest of this message waits in the server.
  std::string block() {
    auto id = publish({.data = std::string(std::size_t{2} << 20, 'B')});
    settle();
    return id;
  }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Server<WebSocket, Sse, LongPolling, ShortPolling> server;
};

/// Bytes that show it when any of them is missing or doubled.
std::string pattern(std::size_t size, unsigned seed) {
  std::minstd_rand random(seed + 1);
  std::string bytes(size, ' ');
  for (auto& c : bytes) c = static_cast<char>('a' + random() % 26);
  return bytes;
}

std::string gap_data(const std::string& requested, const std::string& earliest) {
  return R"({"requested":")" + requested + R"(","earliest":")" + earliest + R"("})";
}

}  // namespace

TEST_CASE("a burst within max_lag reaches every stream whole, though the history holds one message",
          "[scenario][WIRE-7][DESIGN-1]") {
  const std::size_t shards = GENERATE(1, 2);
  const bool one_thread = GENERATE(true, false);
  constexpr std::size_t count = 10'000;
  FanOutServer s({.history = {.max_messages = 1}}, {.one_thread = one_thread}, shards);
  std::deque<SseClient> sse;
  std::deque<WebSocketClient> ws;
  for (int i = 0; i < 4; ++i) {
    sse.emplace_back(s.port(), "/c").open();
    ws.emplace_back(s.port(), "/c", WebSocketClient::v1).open();
  }
  std::vector<std::string> ids;
  std::jthread publishing([&] {
    for (std::size_t i = 0; i < count; ++i) ids.push_back(s.publish({.data = std::to_string(i)}));
  });
  publishing.join();
  for (auto& client : sse) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto event = client.next_event();
      if (event.id != ids[i] || event.data != std::to_string(i)) FAIL("at " << i << ": " << event.raw);
    }
  }
  for (auto& client : ws) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto message = client.next_v1();
      if (message.id != ids[i] || message.data != std::to_string(i)) FAIL("at " << i << ": " << message.event);
    }
  }
}

TEST_CASE("a message that is published while a subscriber comes is not lost", "[scenario][DESIGN-2]") {
  const std::size_t shards = GENERATE(1, 2);
  const int kind = GENERATE(0, 1, 2);
  FanOutServer s({}, {.one_thread = shards == 1}, shards);
  constexpr int rounds = 150;
  std::barrier<> together(2);
  std::jthread publishing([&] {
    std::minstd_rand random(1);
    for (int i = 0; i < rounds; ++i) {
      together.arrive_and_wait();
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 400);
      while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
      s.publish({.data = std::to_string(i)});
    }
  });
  std::string cursor = s.channel.latest().to_string();
  int missing = 0;
  for (int i = 0; i < rounds; ++i) {
    together.arrive_and_wait();
    try {
      if (kind == 0) {
        SseClient client(s.port(), "/c", cursor_header(cursor));
        client.open();
        if (client.next_event().data != std::to_string(i)) ++missing;
      } else if (kind == 1) {
        WebSocketClient client(s.port(), "/c", std::string(WebSocketClient::v1) + cursor_header(cursor));
        client.open();
        if (client.next_v1().data != std::to_string(i)) ++missing;
      } else {
        const auto answer = get(s.port(), "/c?wait=20", cursor_header(cursor));
        if (answer.body.find("\"data\":\"" + std::to_string(i) + "\"") == std::string::npos) ++missing;
      }
    } catch (const std::exception&) {
      ++missing;
    }
    const auto head = s.channel.latest();
    cursor = MessageId{head.epoch, static_cast<std::uint64_t>(i) + 1}.to_string();
  }
  CHECK(missing == 0);
}

TEST_CASE("a resuming reader whose backlog is evicted under it is told", "[scenario][WIRE-7]") {
  const auto policy = GENERATE(LagPolicy::disconnect, LagPolicy::skip);
  const bool over_sse = GENERATE(true, false);
  FanOutServer s({.history = {.max_messages = 1000}, .max_lag = 64 << 10, .lag_policy = policy});
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(s.publish({.data = std::string(4000, 'x')}));

  const auto begin = cursor_header(ids[0]);
  std::optional<SseClient> sse;
  std::optional<WebSocketClient> ws;
  if (over_sse) {
    sse.emplace(slow_connection(s.port()), "/c", begin);
    CHECK(sse->open().id == ids[0]);
  } else {
    ws.emplace(slow_connection(s.port()), "/c", std::string(WebSocketClient::v1) + begin);
    CHECK(ws->open().id == ids[0]);
  }
  s.settle();
  for (int i = 0; i < 2000; ++i) ids.push_back(s.publish({.data = std::string(4000, 'x')}));

  // Consecutive ids, then the notice, never a hole without one.
  std::size_t at = 1;
  std::string gap;
  std::string last = ids[0];
  bool ended = false;
  const auto take = [&](const std::string& event, const std::string& id, const std::string& data) {
    if (event == "downlink.gap") {
      gap = data;
      return true;
    }
    if (at >= ids.size() || id != ids[at]) FAIL("a hole before " << id << ", expected number " << at);
    last = ids[at++];
    return false;
  };
  try {
    if (over_sse) {
      for (bool told = false; !told;) {
        const auto event = sse->next_event();
        told = take(event.event, event.id.value(), event.data);
      }
    } else {
      for (bool told = false; !told;) {
        const auto message = ws->next_v1();
        told = take(message.event, message.id.value(), message.data);
      }
    }
  } catch (const std::runtime_error&) {
    ended = true;
  }
  CHECK(at < 1000);
  if (policy == LagPolicy::disconnect) {
    CHECK(ended);
    CHECK(gap.empty());
    if (over_sse) CHECK(sse->ends());
    SseClient again(s.port(), "/c", cursor_header(last));
    CHECK_FALSE(again.open().id);
    CHECK(again.next_event().data == gap_data(last, ids[2000]));
    CHECK(again.next_event().id == ids[2000]);
  } else {
    CHECK_FALSE(ended);
    CHECK(gap == gap_data(last, ids.back()));
    CHECK((over_sse ? sse->next_event().id : ws->next_v1().id) == ids.back());
    const auto next = s.publish({.data = "next"});
    CHECK((over_sse ? sse->next_event().id : ws->next_v1().id) == next);
  }
}

TEST_CASE("ids that jump, and a new epoch, give every standing cursor its gap", "[scenario][WIRE-1][DESIGN-7]") {
  FanOutServer s({}, {}, 2);
  const auto last = s.publish({.data = "before"});
  SseClient sse(s.port(), "/c");
  sse.open();
  WebSocketClient ws(s.port(), "/c", WebSocketClient::v1);
  ws.open();
  WebSocketClient raw(s.port(), "/c");
  Connection poll(s.port(), 20s);
  poll.send(request_text("GET", "/c?wait=20"));
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 4; }));

  auto id = s.channel.latest();
  if (GENERATE(true, false)) {
    id.offset += 10;
  } else {
    id = {id.epoch + 1, 5};
  }
  REQUIRE(s.channel.append(id, {.data = "after"}));
  const auto before = MessageId{id.epoch, id.offset - 1}.to_string();

  const auto event = sse.next_event();
  CHECK(event.event == "downlink.gap");
  CHECK(event.id == before);
  CHECK(event.data == gap_data(last, id.to_string()));
  CHECK(sse.next_event().id == id.to_string());
  const auto message = ws.next_v1();
  CHECK(message.event == "downlink.gap");
  CHECK(message.id == before);
  CHECK(message.data == event.data);
  CHECK(ws.next_v1().id == id.to_string());
  CHECK(raw.closes().close_code() == 4001);
  const auto answer = poll.read_response();
  CHECK(answer.status == 200);
  CHECK(answer.body == R"({"cursor":")" + id.to_string() + R"(","gap":true,"messages":[{"id":")" + id.to_string() +
                           R"(","data":"after"}]})");

  CHECK_FALSE(s.channel.append(id, {.data = "again"}));
  const MessageId next{id.epoch, id.offset + 1};
  REQUIRE(s.channel.append(next, {.data = "next"}));
  CHECK(sse.next_event().id == next.to_string());
  CHECK(ws.next_v1().id == next.to_string());
}

TEST_CASE("a jump reaches a reader that is stalled inside a message, after that message", "[scenario][DESIGN-7]") {
  FanOutServer s;
  SseClient sse(slow_connection(s.port()), "/c");
  sse.open();
  WebSocketClient raw(slow_connection(s.port()), "/c");
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 2; }));
  const auto blocker = s.block();
  const MessageId id{s.channel.latest().epoch + 1, 1};
  REQUIRE(s.channel.append(id, {.data = "after"}));
  s.settle();
  const auto whole = sse.next_event();
  CHECK(whole.id == blocker);
  CHECK(whole.data == std::string(std::size_t{2} << 20, 'B'));
  const auto gap = sse.next_event();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.data == gap_data(blocker, id.to_string()));
  CHECK(sse.next_event().id == id.to_string());
  CHECK(raw.next_message().payload.size() == std::size_t{2} << 20);
  CHECK(raw.closes().close_code() == 4001);
}

TEST_CASE("a reader past max_lag is ended, or skipped forward where it can be told; nobody else notices",
          "[scenario][WIRE-7]") {
  const auto policy = GENERATE(LagPolicy::disconnect, LagPolicy::skip);
  FanOutServer s({.max_lag = 256 << 10, .lag_policy = policy});
  SseClient sse(slow_connection(s.port()), "/c");
  sse.open();
  WebSocketClient ws(slow_connection(s.port()), "/c", WebSocketClient::v1);
  ws.open();
  WebSocketClient raw(slow_connection(s.port()), "/c");
  SseClient fast(s.port(), "/c");
  fast.open();
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 4; }));

  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(s.publish({.data = pattern(16 << 10, static_cast<unsigned>(i))}));
    REQUIRE(fast.next_event().id == ids.back());
  }
  std::size_t at = 0;
  std::string gap;
  std::string last;
  // The messages that came before the lag: whole and in order.
  const auto follows = [&](const std::string& event, const std::optional<std::string>& id, const std::string& data) {
    if (event == "downlink.gap") {
      gap = data;
      return false;
    }
    if (at >= ids.size() || id != ids[at] || data != pattern(16 << 10, static_cast<unsigned>(at))) {
      FAIL("not message " << at);
    }
    last = ids[at++];
    return true;
  };
  if (policy == LagPolicy::disconnect) {
    CHECK(sse.ends());
    for (const auto& item : sse.rest()) {
      if (item.kind == SseItem::Kind::event) follows(item.event, item.id, item.data);
    }
    CHECK(gap.empty());
    CHECK(at < ids.size());
    CHECK(ws.closes().close_code() == 1013);
  } else {
    for (auto event = sse.next_event(); follows(event.event, event.id, event.data);) event = sse.next_event();
    CHECK(gap == gap_data(last, ids.back()));
    CHECK(sse.next_event().id == ids.back());
    at = 0;
    for (auto message = ws.next_v1(); follows(message.event, message.id, message.data);) message = ws.next_v1();
    CHECK(gap == gap_data(last, ids.back()));
    CHECK(ws.next_v1().id == ids.back());
    const auto next = s.publish({.data = "next"});
    CHECK(sse.next_event().id == next);
    CHECK(ws.next_v1().id == next);
  }
  CHECK(raw.closes().close_code() == 1013);
}

TEST_CASE("what fills the socket's buffer in the middle of a message is finished before anything else",
          "[scenario][DESIGN-3.4]") {
  std::mutex mutex;
  std::vector<Peer> peers;
  const bool over_sse = GENERATE(true, false);
  // A WebSocket client that reads nothing would not answer its pings.
  const auto heartbeat = over_sse ? 20ms : 20'000ms;
  FanOutServer s({.max_lag = std::size_t{64} << 20}, {.stream = {.heartbeat = heartbeat, .write_timeout = 20s}}, 1,
                 [&](Peer peer) {
                   const std::lock_guard guard(mutex);
                   peers.push_back(peer);
                 });
  std::optional<SseClient> sse;
  std::optional<WebSocketClient> ws;
  if (over_sse) {
    sse.emplace(slow_connection(s.port()), "/c").open();
  } else {
    ws.emplace(slow_connection(s.port()), "/c", WebSocketClient::v1).open();
  }
  REQUIRE(eventually([&] {
    const std::lock_guard guard(mutex);
    return peers.size() == 1;
  }));
  std::vector<std::string> expected;
  std::size_t replies = 0;
  for (unsigned i = 0; i < 12; ++i) {
    expected.push_back(pattern(100'000 + i * 61'003, i));
    s.publish({.data = expected.back()});
    if (i % 3 == 0) {
      s.settle();
      CHECK_FALSE(peers[0].send({.data = "reply " + std::to_string(replies++), .event = "reply"}));
    }
  }
  std::size_t messages = 0;
  std::size_t answered = 0;
  const auto take = [&](const std::string& event, const std::string& data) {
    if (event == "reply") {
      CHECK(data == "reply " + std::to_string(answered++));
    } else {
      if (data != expected[messages]) FAIL("message " << messages << " came damaged");
      ++messages;
    }
  };
  while (messages < expected.size() || answered < replies) {
    if (over_sse) {
      const auto event = sse->next_event();
      take(event.event, event.data);
    } else {
      const auto message = ws->next_v1();
      take(message.event, message.data);
    }
  }
}

TEST_CASE("a connected reader gets the newest message of a key, and none that expired, and no gap for either",
          "[scenario][WIRE-1]") {
  const auto clock = std::make_shared<HandClock>();
  FanOutServer s({.clock = clock});
  SseClient sse(slow_connection(s.port()), "/c");
  sse.open();
  WebSocketClient ws(slow_connection(s.port()), "/c", WebSocketClient::v1);
  ws.open();
  const auto blocker = s.block();
  s.publish({.data = "a1", .key = "a"});
  s.publish({.data = "brief", .time_to_live = 1s});
  s.publish({.data = "b1", .key = "b"});
  s.publish({.data = "a2", .key = "a"});
  s.publish({.data = "plain"});
  for (int i = 0; i < 100; ++i) s.publish({.data = "b" + std::to_string(i + 2), .key = "b"});
  clock->pass(2s);
  s.publish({.data = "end"});
  s.settle();
  CHECK(sse.next_event().id == blocker);
  CHECK(ws.next_v1().id == blocker);
  for (const std::string expected : {"a2", "plain", "b101", "end"}) {
    CHECK(sse.next_event().data == expected);
    CHECK(ws.next_v1().data == expected);
  }
}

TEST_CASE("a message that a reader had begun to receive comes whole, though a newer one of its key came",
          "[scenario][WIRE-1]") {
  FanOutServer s;
  SseClient sse(slow_connection(s.port()), "/c");
  sse.open();
  const auto large = pattern(std::size_t{2} << 20, 7);
  s.publish({.data = large, .key = "k"});
  s.settle();
  s.publish({.data = "newer", .key = "k"});
  CHECK(sse.next_event().data == large);
  CHECK(sse.next_event().data == "newer");
}

TEST_CASE("who comes after a message has expired does not get it", "[scenario][WIRE-1]") {
  const auto clock = std::make_shared<HandClock>();
  FanOutServer s({.clock = clock});
  SseClient first(s.port(), "/c");
  const auto begin = first.open().id.value();
  s.publish({.data = "brief", .time_to_live = 1s});
  CHECK(first.next_event().data == "brief");
  clock->pass(2s);
  SseClient second(s.port(), "/c", cursor_header(begin));
  CHECK(second.open().id == begin);
  Connection poll(s.port(), 20s);
  poll.send(request_text("GET", "/c?wait=20", cursor_header(begin)));
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 3; }));
  const auto id = s.publish({.data = "next"});
  CHECK(first.next_event().id == id);
  CHECK(second.next_event().id == id);
  CHECK(poll.read_response().body.find("brief") == std::string::npos);
}

TEST_CASE("who is past max_lag is told of no gap where the newest message that lives is the next one",
          "[scenario][WIRE-1][WIRE-7]") {
  const auto clock = std::make_shared<HandClock>();
  FanOutServer s({.max_lag = 64 << 10, .lag_policy = LagPolicy::skip, .clock = clock});
  SseClient slow(slow_connection(s.port()), "/c");
  slow.open();
  const auto blocker = s.block();
  const auto large = s.publish({.data = pattern(100 << 10, 1)});
  s.publish({.data = "brief", .time_to_live = 1s});
  s.settle();
  clock->pass(2s);
  SseClient other(s.port(), "/c");
  other.open();
  CHECK(slow.next_event().id == blocker);
  CHECK(slow.next_event().id == large);
  const auto end = s.publish({.data = "end"});
  CHECK(slow.next_event().id == end);
  CHECK(other.next_event().id == end);
}

TEST_CASE("a new subscriber with a backlog is not held to max_lag by what it asked for", "[scenario][WIRE-7]") {
  FanOutServer s({.max_lag = 32 << 10});
  std::vector<std::string> ids;
  for (int i = 0; i < 500; ++i) ids.push_back(s.publish({.data = std::string(4000, 'x')}));
  SseClient client(slow_connection(s.port()), "/c?cursor=earliest");
  client.open();
  s.settle();
  for (int i = 0; i < 5; ++i) ids.push_back(s.publish({.data = "new"}));
  for (const auto& id : ids) REQUIRE(client.next_event().id == id);
}
