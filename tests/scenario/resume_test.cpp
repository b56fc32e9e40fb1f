#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/sanitized.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

constexpr int message_count = 500;

/// A client that reads one channel over whatever transport, comes and goes, and keeps nothing but its cursor.
class Wanderer {
 public:
  Wanderer(std::uint16_t port, unsigned seed) : port_(port), random_(seed) {}

  bool done() const { return static_cast<int>(payloads_.size()) >= message_count; }
  const std::vector<std::string>& payloads() const { return payloads_; }
  bool gap() const { return gap_; }

  /// Connects, reads a random number of bytes, and goes away, most often in the middle of something.
  void sse() {
    SseClient client(port_, "/c", cursor_header());
    for (const std::size_t most = budget(); !done() && client.received() < most;) {
      if (!client.receive(most - client.received())) return;
      while (auto item = client.ready()) {
        if (item->kind != SseItem::Kind::event) continue;
        take(item->event, item->id, item->data);
      }
    }
    leave(client.connection());
  }
  void websocket() {
    WebSocketClient client(port_, "/c", std::string(WebSocketClient::v1) + cursor_header());
    for (const std::size_t most = budget(); !done() && client.received() < most;) {
      if (!client.receive(most - client.received())) return;
      while (const auto frame = client.ready()) {
        if (frame->opcode != ws_text) continue;
        const V1Message message(*frame);
        take(message.event, message.id, message.data);
      }
    }
    leave(client.connection());
  }
  /// One or several polls over one connection; an answer that was cut off counts for nothing.
  void poll(bool wait) {
    Connection connection(port_, 20s);
    for (int requests = pick(1, 4); requests > 0 && !done(); --requests) {
      connection.send(request_text("GET", wait ? "/c?wait=5" : "/c", cursor_header()));
      if (pick(0, 3) == 0) {
        // Away while it is held, or before the answer is read.
        if (pick(0, 1) == 0) connection.read_some();
        return leave(connection);
      }
      const auto answer = connection.read_response();
      if (answer.status != 200) throw std::runtime_error("a poll is answered " + std::to_string(answer.status));
      take_answer(answer.body);
    }
    leave(connection);
  }
  void any() {
    switch (pick(0, 3)) {
      case 0:
        return sse();
      case 1:
        return websocket();
      case 2:
        return poll(true);
      default:
        return poll(false);
    }
  }

 private:
  int pick(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  std::size_t budget() { return static_cast<std::size_t>(pick(1, 6000)); }
  std::string cursor_header() const { return "Last-Event-ID: " + cursor_ + "\r\n"; }

  void leave(Connection& connection) {
    if (pick(0, 1) == 0) {
      connection.reset();
    } else {
      connection.close();
    }
  }

  void take(const std::string& event, const std::optional<std::string>& id, const std::string& data) {
    gap_ = gap_ || event == "downlink.gap";
    if (!event.starts_with("downlink.")) payloads_.push_back(data);
    if (id) cursor_ = *id;
  }

  // The payloads of this test need no JSON escapes.
  void take_answer(std::string_view body) {
    const auto string_after = [&](std::string_view mark, std::size_t& at) {
      at = body.find(mark, at);
      if (at == std::string_view::npos) return std::string();
      at += mark.size();
      return std::string(body.substr(at, body.find('"', at) - at));
    };
    gap_ = gap_ || body.find("\"gap\":true") != std::string_view::npos;
    for (std::size_t at = 0;;) {
      auto data = string_after("\"data\":\"", at);
      if (at == std::string_view::npos) break;
      payloads_.push_back(std::move(data));
    }
    std::size_t at = 0;
    cursor_ = string_after("\"cursor\":\"", at);
  }

  std::uint16_t port_;
  std::minstd_rand random_;
  std::string cursor_ = "earliest";
  std::vector<std::string> payloads_;
  bool gap_ = false;
};

/// The payload of a message: its number, and a tail whose length varies.
std::string payload(int index) {
  return std::to_string(index) + ":" + std::string(static_cast<std::size_t>(index * 37 % 251), '.');
}

template <class Leg>
void wander(std::size_t shards, bool one_thread, unsigned seed, Leg leg) {
  Channel channel;
  Loop loop(shards);
  Server<WebSocket, Sse, LongPolling, ShortPolling> server(loop.contexts(), {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  server.start();

  Wanderer client(server.port(), seed);
  std::jthread publishing([&] {
    const Publisher publisher(channel);
    std::minstd_rand random(seed + 1);
    for (int i = 0; i < message_count; ++i) {
      publisher.publish({.data = payload(i)});
      if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!client.done()) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    leg(client);
  }
  publishing.join();
  CHECK_FALSE(client.gap());
  REQUIRE(client.payloads().size() == message_count);
  for (int i = 0; i < message_count; ++i) REQUIRE(client.payloads()[static_cast<std::size_t>(i)] == payload(i));
  CHECK(eventually([&] { return channel.subscriber_count() == 0; }));
}

/// Many runs, on one shard and on two; fewer where a sanitizer slows each of them.
template <class Leg>
void wander_often(Leg leg) {
  const unsigned runs = sanitized ? 10 : 50;
  for (unsigned run = 0; run < runs; ++run) {
    INFO("run " << run);
    wander(run % 2 == 0 ? 1 : 2, run % 4 < 2, run * 977 + 1, leg);
  }
}

}  // namespace

TEST_CASE("a WebSocket client that reconnects over and over gets each message once, in order", "[scenario][WIRE-1]") {
  wander_often([](Wanderer& client) { client.websocket(); });
}

TEST_CASE("an SSE client that reconnects over and over gets each message once, in order", "[scenario][WIRE-1]") {
  wander_often([](Wanderer& client) { client.sse(); });
}

TEST_CASE("a long-polling client that is cut off over and over gets each message once, in order",
          "[scenario][WIRE-1]") {
  wander_often([](Wanderer& client) { client.poll(true); });
}

TEST_CASE("a short-polling client that is cut off over and over gets each message once, in order",
          "[scenario][WIRE-1]") {
  wander_often([](Wanderer& client) { client.poll(false); });
}

TEST_CASE("a client that switches between transports gets each message once, in order", "[scenario][WIRE-1]") {
  wander_often([](Wanderer& client) { client.any(); });
}
