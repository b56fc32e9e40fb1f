#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

using Kind = TransportKind;

/// A transport of the application's own.
struct Lines {
  static constexpr std::string_view name = "lines";
  static constexpr std::string_view content_type = "text/x-lines";
  static bool claims(const RequestHead& head) { return accept_names(head, content_type); }
  static void encode(std::string& out, const MessageView& message) { (out += message.data) += '\n'; }
  static void open(std::string& out, const Opening&) { out += "open\n"; }
  static void gap(std::string& out, const GapNotice&) { out += "gap\n"; }
  static void heartbeat(std::string& out) { out += '\n'; }
  static void end(std::string& out, const Ending&) { out += "end\n"; }
};

using Everything = Served<ShortPolling, LongPolling, Sse, WebSocket, Lines>;

/// Whether a figure comes to have this value: some change right after what the client sees.
template <class S, class Figure>
bool reaches(const S& served, std::uint64_t wanted, Figure figure) {
  return eventually([&] { return figure(served.server.stats()) == wanted; });
}
template <class S>
bool ended(const S& served, EndReason reason, std::uint64_t wanted = 1) {
  return reaches(served, wanted, [&](const ServerStats& stats) { return stats.ended[reason]; });
}

std::uint64_t sum(const ByReason<>& figures) {
  std::uint64_t all = 0;
  for (const auto figure : figures.figures) all += figure;
  return all;
}

}  // namespace

TEST_CASE("subscribers are counted by their transport while they are there, and what was served for good",
          "[scenario][stats]") {
  Everything s;
  s.start();
  std::optional<SseClient> sse(std::in_place, s.port(), "/c");
  std::optional<WebSocketClient> ws(std::in_place, s.port(), "/c");
  std::optional<Connection> lines(std::in_place, s.port());
  lines->send(request_text("GET", "/c", "Accept: text/x-lines\r\n"));
  lines->read_until("open\n");
  std::optional<Connection> held(std::in_place, s.port());
  held->send(request_text("GET", "/c?wait=20"));
  REQUIRE(s.subscribers(4));
  CHECK(s.get().status == 200);
  auto stats = s.server.stats();
  for (const auto kind : {Kind::sse, Kind::websocket, Kind::custom, Kind::long_polling}) {
    INFO(name_of(kind));
    CHECK(stats.subscribers[kind] == 1);
    CHECK(stats.served[kind] == (kind == Kind::long_polling ? 0 : 1));
  }
  CHECK(stats.subscribers[Kind::short_polling] == 0);
  CHECK(stats.served[Kind::short_polling] == 1);
  CHECK(stats.accepted == 5);
  CHECK(stats.requests == 5);
  CHECK(s.channel.stats().subscribers == 4);

  s.publish("x");
  CHECK(held->read_response().status == 200);
  CHECK(reaches(s, 4, [](const auto& now) { return now.messages_sent; }));
  stats = s.server.stats();
  CHECK(stats.subscribers[Kind::long_polling] == 0);
  CHECK(stats.served[Kind::long_polling] == 1);
  held->send(request_text("GET", "/c?wait=20"));
  REQUIRE(s.subscribers(4));

  sse.reset();
  ws.reset();
  lines.reset();
  held.reset();
  REQUIRE(s.connections(0));
  stats = s.server.stats();
  CHECK(stats.connections == 0);
  CHECK(std::all_of(stats.subscribers.figures.begin(), stats.subscribers.figures.end(), [](auto n) { return n == 0; }));
  CHECK(stats.ended[EndReason::peer_left] == 3);
  CHECK(sum(stats.ended) == 3);
  CHECK(stats.accepted == 5);
  CHECK(stats.requests == 6);
}

TEST_CASE("bytes and messages are counted to the last one, both ways", "[scenario][stats]") {
  Everything s({}, {}, {.start = DefaultStart::earliest});
  s.server.on_message("/c", [](Peer, Inbound in) { return Reply(Message{.data = in.data}); });
  s.start();
  s.publish_many(3);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  const auto exchange = [&](Connection& connection, const std::string& request, std::string_view last) {
    connection.send(request);
    sent += request.size();
    received += connection.read_until(last).size();
  };
  std::optional<Connection> poll(s.port()), post(s.port()), sse(s.port()), ws(s.port());
  exchange(*poll, request_text("GET", "/c"), "]}");
  exchange(*poll, request_text("HEAD", "/c"), "\r\n\r\n");
  exchange(*post, "POST /c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
           "100 Continue\r\n\r\n");
  exchange(*post, "hello", "hello");
  exchange(*sse, request_text("GET", "/c", "Accept: text/event-stream\r\n"), "data: 3\n\n\r\n");
  exchange(*ws, WebSocketClient::request("/c"),
           "\x81\x01"
           "3");
  exchange(*ws, client_frame(ws_text, "reply"), "reply");
  exchange(*ws, client_frame(ws_ping, "ping"), "ping");
  s.publish("4");
  received += sse->read_until("data: 4\n\n\r\n").size() + ws->read_until("4").size();
  CHECK(reaches(s, received, [](const auto& now) { return now.bytes_sent; }));
  const auto stats = s.server.stats();
  CHECK(stats.bytes_sent == received);
  CHECK(stats.bytes_received == sent);
  CHECK(stats.messages_sent == 3 * 3 + 2);
  CHECK(stats.messages_received == 2);
  CHECK(s.channel.stats().published_messages == 4);
  CHECK(s.channel.stats().encoded_bytes > 0);
}

TEST_CASE("refused requests are counted by their status", "[scenario][stats][WIRE-8]") {
  struct Case {
    int status;
    std::string request;
  };
  const auto upgrade = [](std::string_view version, std::string_view more = {}) {
    return request_text("GET", "/c",
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
                        "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: " +
                            std::string(version) + "\r\n" + std::string(more));
  };
  const std::vector<Case> cases{
      {400, "GET /c HTTP/1.1\r\n\r\n"},
      {400, "nonsense\r\n\r\n"},
      {400, request_text("GET", "/c?history=x")},
      {401, request_text("GET", "/c", "Authorization: none\r\n")},
      {403, request_text("GET", "/c", "Authorization: wrong\r\n")},
      {403, upgrade("13", "Origin: http://elsewhere.example\r\n")},
      {404, request_text("GET", "/nothing")},
      {405, request_text("DELETE", "/c")},
      {426, request_text("GET", "/c", "Accept: text/html\r\n")},
      {413, "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"},
      {414, "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"},
      {418, request_text("POST", "/c", {}, "tea")},
      {426, upgrade("12")},
      {431, request_text("GET", "/c", "X: " + std::string(9000, 'a') + "\r\n")},
      {500, request_text("POST", "/c", {}, "throw")},
      {501, request_text("BREW", "/c")},
      {505, "GET /c HTTP/2.0\r\nHost: x\r\n\r\n"},
  };
  Served<Sse, WebSocket> s;
  s.server.authorize([](const RequestHead& head) {
    const auto who = head.header("Authorization").value_or(std::string_view{});
    return who == "none" ? unauthorized() : who == "wrong" ? deny() : allow();
  });
  s.server.on_message("/c", [](Peer, Inbound in) -> Reply {
    if (in.data == "throw") throw std::runtime_error("thrown");
    return Reply::refuse(418, "a teapot");
  });
  s.start();
  std::uint64_t requests = 0;
  ByStatus<> wanted;
  for (const auto& [status, request] : cases) {
    INFO(request.substr(0, 60));
    auto connection = s.connect();
    connection.send(request);
    CHECK(connection.read_head().status == status);
    ++requests;
    ++wanted[status];
    CHECK(s.server.stats().requests == requests);
  }
  const auto stats = s.server.stats();
  CHECK(stats.refused.figures == wanted.figures);
  CHECK(stats.handler_failures == 1);
}

TEST_CASE("what the fallback refuses is counted like what the library refuses", "[scenario][stats]") {
  Served<Sse> s;
  s.server.fallback([](HttpRequest request) { return HttpResponse{.status = request.head.path() == "/" ? 200 : 404}; });
  s.start();
  CHECK(s.get("/").status == 200);
  CHECK(s.get("/nothing").status == 404);
  CHECK(s.get("/nothing").status == 404);
  ByStatus<> wanted;
  wanted[404] = 2;
  CHECK(s.server.stats().refused.figures == wanted.figures);
}

TEST_CASE("a head that does not come, and a request past the connection limit, are counted", "[scenario][stats]") {
  ServedAll s({.head_timeout = 100ms, .max_connections = 1});
  s.start();
  auto slow = s.connect();
  slow.send("GET /c");
  CHECK(s.get().status == 503);
  CHECK(s.get("/c", "Accept: text/event-stream\r\n").status == 200);
  CHECK(slow.read_head().status == 408);
  const auto stats = s.server.stats();
  CHECK(stats.over_limit == 2);
  CHECK(stats.refused[503] == 1);
  CHECK(stats.refused[408] == 1);
  CHECK(stats.requests == 2);
}

TEST_CASE("resumes and gaps are counted over every transport", "[scenario][stats][WIRE-1]") {
  Everything s({}, {.history = {.max_messages = 2}});
  s.start();
  const auto ids = s.publish_many(5);
  const bool lost = GENERATE(true, false);
  const std::string target = "/c?cursor=" + (lost ? ids[0] : ids[3]);
  CHECK(s.get(target).status == 200);
  CHECK(s.get(target + "&wait=5").status == 200);
  SseClient sse(s.port(), target);
  sse.open();
  WebSocketClient v1(s.port(), target, WebSocketClient::v1);
  v1.open();
  WebSocketClient raw(s.port(), target);
  if (lost) {
    CHECK(raw.closes().close_code() == 4001);
  } else {
    CHECK(raw.next_message().payload == "5");
  }
  SseClient fresh(s.port(), "/c");  // neither
  fresh.open();
  CHECK(ended(s, EndReason::gap, lost ? 1 : 0));
  const auto stats = s.server.stats();
  CHECK(stats.resumes == 5);
  CHECK(stats.gaps == (lost ? 5 : 0));
  CHECK(s.channel.stats().resumes == 5);
  CHECK(s.channel.stats().gaps == (lost ? 5 : 0));
}

TEST_CASE("who finds no room in a channel has not resumed", "[scenario][stats][WIRE-8]") {
  Everything s({}, {.max_subscribers = 1});
  s.start();
  const auto id = s.publish("1");
  SseClient seated(s.port(), "/c");
  seated.open();
  CHECK(s.get("/c?wait=60&cursor=" + id).status == 503);
  CHECK(s.server.stats().resumes == 0);
  CHECK(s.get("/c?cursor=" + id).status == 200);
  CHECK(s.server.stats().resumes == 1);
}

TEST_CASE("whoever lags too far is counted as dropped or skipped, with the lag", "[scenario][stats][WIRE-7]") {
  const auto policy = GENERATE(LagPolicy::disconnect, LagPolicy::skip);
  constexpr std::size_t size = 16 << 10;
  constexpr std::size_t bound = 256 << 10;
  Everything s({}, {.max_lag = bound, .lag_policy = policy});
  s.start();
  SseClient slow(slow_connection(s.port()), "/c");
  slow.open();
  SseClient fast(s.port(), "/c");
  fast.open();
  for (int i = 0; i < 300; ++i) {
    s.publish(std::string(size, 'x'));
    fast.next_event();
  }
  if (policy == LagPolicy::disconnect) {
    CHECK(slow.ends());
    CHECK(ended(s, EndReason::too_slow));
    CHECK(s.channel.stats().drops == 1);
    CHECK(s.server.stats().subscribers[Kind::sse] == 1);
  } else {
    while (slow.next_event().event != "downlink.gap") {
    }
    const auto stats = s.server.stats();
    CHECK(stats.skips == 1);
    CHECK(stats.gaps == 1);
    CHECK(sum(stats.ended) == 0);
    CHECK(s.channel.stats().skips == 1);
    CHECK(s.channel.stats().gaps == 1);
  }
  const auto stats = s.channel.stats();
  CHECK(stats.largest_lag_messages > bound / size);
  CHECK(stats.largest_lag_messages <= 300);
  CHECK(stats.largest_lag_bytes >= bound - size);
  CHECK(stats.largest_lag_bytes <= 300 * size);
}

TEST_CASE("figures may be read from any thread while everything is in use, and when the loop is gone",
          "[scenario][stats][threads]") {
  const Hub hub;
  const auto channel = hub.open("a").value();
  std::atomic<bool> done = false;
  auto contexts = std::make_optional<Loop>(2);
  Server<LongPolling, Sse, WebSocket> server(contexts->contexts(), {.endpoint = {.one_thread = GENERATE(true, false)}});
  server.route("/{name}", hub);
  server.start();
  std::jthread reading([&] {
    std::uint64_t sent = 0;
    while (!done) {
      const auto stats = server.stats();
      if (stats.messages_sent < sent) FAIL("a count went back");
      sent = stats.messages_sent;
      hub.stats();
      channel.stats();
    }
  });
  std::jthread publishing([publisher = Publisher(channel)] {
    for (int i = 0; i < 2000; ++i) publisher.publish({.data = "x"}).value();
  });
  for (int i = 0; i < 10; ++i) {
    SseClient sse(server.port(), "/a?cursor=earliest");
    sse.open();
    WebSocketClient ws(server.port(), "/a?cursor=earliest");
    get(server.port(), "/a?wait=1&cursor=earliest");
  }
  publishing.join();
  CHECK(eventually([&] { return server.connection_count() == 0; }));
  done = true;
  reading.join();
  const auto before = server.stats();
  CHECK(before.accepted == 30);
  CHECK(before.served[Kind::long_polling] == 10);
  CHECK(sum(before.ended) == 20);  // some were too slow for the publisher
  contexts.reset();
  CHECK(server.stats().bytes_sent == before.bytes_sent);
  CHECK(channel.stats().subscribers == 0);
}
