#include <chrono>
#include <string>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// What serves a request. What counts as a subscriber is a held poll or a stream: a message answers the one and does
// nothing to the other.
template <class... Ts>
std::string served_by(Served<Ts...>& served, std::string_view target, std::string_view headers = {}) {
  auto connection = served.connect();
  connection.send(request_text("GET", target, headers));
  bool subscribed = false;
  REQUIRE(eventually([&] {
    subscribed = served.channel.subscriber_count() == 1;
    return subscribed || connection.wait_for_end(0ms) != Connection::End::open || !connection.unread().empty();
  }));
  if (subscribed) served.publish("x");
  const auto head = connection.read_head();
  connection.close();
  if (!served.subscribers(0)) return "left behind";
  if (head.status == 101) return "websocket";
  if (head.status == 200 && head.header("Content-Type") == "text/event-stream") return "sse";
  if (head.status == 200 && head.header("Content-Type") == "application/json") return subscribed ? "long" : "short";
  return std::to_string(head.status);
}

}  // namespace

TEST_CASE("with all four transports the request decides", "[scenario][WIRE-2]") {
  ServedAll served;
  served.start();
  CHECK(served_by(served, "/c", upgrade) == "websocket");
  CHECK(served_by(served, "/c",
                  "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") == "websocket");
  CHECK(served_by(served, "/c?wait=9", std::string(upgrade) + std::string(event_stream)) == "websocket");
  CHECK(served_by(served, "/c", event_stream) == "sse");
  CHECK(served_by(served, "/c?wait=9", event_stream) == "sse");
  CHECK(served_by(served, "/c", "Accept: application/json, Text/Event-Stream;q=0.1\r\n") == "sse");
  CHECK(served_by(served, "/c", "Accept: text/event-stream;q=0\r\n") == "short");
  CHECK(served_by(served, "/c", "Accept: text/*\r\n") == "short");
  CHECK(served_by(served, "/c", "Accept: */*\r\n") == "short");
  CHECK(served_by(served, "/c?wait=9") == "long");
  CHECK(served_by(served, "/c?wait=0.5") == "long");
  CHECK(served_by(served, "/c", "Prefer: wait=9\r\n") == "long");
  CHECK(served_by(served, "/c", "Prefer: respond-async, wait=9\r\n") == "long");
  CHECK(served_by(served, "/c?wait=0") == "short");
  CHECK(served_by(served, "/c?wait=soon") == "short");
  CHECK(served_by(served, "/c?wait=-1") == "short");
  CHECK(served_by(served, "/c") == "short");
}

TEST_CASE("Prefer wins over the query's wait, and one that is no number counts as none", "[scenario][WIRE-2]") {
  ServedAll served;
  served.start();
  CHECK(served_by(served, "/c?wait=9", "Prefer: wait=0\r\n") == "short");
  CHECK(served_by(served, "/c?wait=0", "Prefer: wait=9\r\n") == "long");
  CHECK(served_by(served, "/c?wait=9", "Prefer: wait=soon\r\n") == "long");
  CHECK(served_by(served, "/c?wait=0", "Prefer: wait=soon\r\n") == "short");
  CHECK(served_by(served, "/c", "Prefer: handling=lenient\r\n") == "short");
}

TEST_CASE("an upgrade to something else is answered without it", "[scenario][WIRE-2]") {
  ServedAll served;
  served.start();
  CHECK(served_by(served, "/c", "Connection: Upgrade\r\nUpgrade: h2c\r\n") == "short");
  CHECK(served_by(served, "/c", "Upgrade: websocket\r\n") == "short");
}

TEST_CASE("an SSE endpoint streams to any Accept that admits it, else 406", "[scenario][WIRE-2]") {
  Served<Sse> served;
  served.start();
  CHECK(served_by(served, "/c") == "sse");
  CHECK(served_by(served, "/c?wait=9") == "sse");
  CHECK(served_by(served, "/c", "Accept: */*\r\n") == "sse");
  CHECK(served_by(served, "/c", "Accept: text/*;q=0.1\r\n") == "sse");
  CHECK(served_by(served, "/c", "Accept: \r\n") == "sse");
  CHECK(served_by(served, "/c", event_stream) == "sse");
  CHECK(served_by(served, "/c", "Accept: application/json\r\n") == "406");
  CHECK(served_by(served, "/c", "Accept: */*, text/event-stream;q=0\r\n") == "406");
  CHECK(served_by(served, "/c", "Accept: text/*;q=0.0, */*\r\n") == "406");
  CHECK(served.get("/c", "Accept: image/png\r\n").header("Content-Type") == "application/problem+json");
}

TEST_CASE("a WebSocket endpoint answers a plain GET with 426 and Upgrade", "[scenario][WIRE-2][RFC9110-7.8]") {
  Served<WebSocket> served;
  served.start();
  CHECK(served_by(served, "/c", upgrade) == "websocket");
  const auto answer = served.get();
  CHECK(answer.status == 426);
  CHECK(answer.header("Upgrade") == "websocket");
  CHECK(answer.lists("Connection", "Upgrade"));
  CHECK(served.get("/c", event_stream).status == 426);
}

TEST_CASE("a long-polling endpoint waits its default time when no wait is given", "[scenario][WIRE-2]") {
  Served<LongPolling> served({.default_wait = 60s});
  served.start();
  CHECK(served_by(served, "/c") == "long");
  CHECK(served_by(served, "/c", event_stream) == "long");
  CHECK(served_by(served, "/c?wait=soon") == "long");
  CHECK(served_by(served, "/c?wait=0") == "short");

  Served<LongPolling> brief({.default_wait = 100ms});
  brief.start();
  CHECK(brief.get().status == 200);
}

TEST_CASE("a short-polling endpoint ignores wait", "[scenario][WIRE-2]") {
  Served<ShortPolling> served;
  served.start();
  CHECK(served_by(served, "/c?wait=9") == "short");
  CHECK(served_by(served, "/c", "Prefer: wait=9\r\n") == "short");
  CHECK(served_by(served, "/c", event_stream) == "short");
  CHECK(served_by(served, "/c", upgrade) == "short");
  CHECK_FALSE(served.get("/c", "Prefer: wait=9\r\n").header("Preference-Applied"));
}

TEST_CASE("where the row's transport is not offered the next row down serves", "[scenario][WIRE-2]") {
  SECTION("SSE and long polling") {
    Served<Sse, LongPolling> served({.default_wait = 60s});
    served.start();
    CHECK(served_by(served, "/c", upgrade) == "sse");
    CHECK(served_by(served, "/c?wait=9") == "long");
    CHECK(served_by(served, "/c") == "sse");
    CHECK(served_by(served, "/c", "Accept: application/json\r\n") == "long");
  }
  SECTION("SSE and short polling") {
    Served<Sse, ShortPolling> served;
    served.start();
    CHECK(served_by(served, "/c", upgrade) == "sse");
    CHECK(served_by(served, "/c", event_stream) == "sse");
    CHECK(served_by(served, "/c?wait=9") == "short");
    CHECK(served_by(served, "/c") == "short");
  }
  SECTION("both pollings") {
    Served<LongPolling, ShortPolling> served({.default_wait = 60s});
    served.start();
    CHECK(served_by(served, "/c", upgrade) == "long");
    CHECK(served_by(served, "/c", event_stream) == "long");
    CHECK(served_by(served, "/c?wait=9") == "long");
    CHECK(served_by(served, "/c") == "short");
  }
  SECTION("WebSocket and SSE") {
    Served<WebSocket, Sse> served;
    served.start();
    CHECK(served_by(served, "/c", upgrade) == "websocket");
    CHECK(served_by(served, "/c") == "sse");
    CHECK(served_by(served, "/c?wait=9") == "sse");
    CHECK(served_by(served, "/c", "Accept: application/json\r\n") == "426");
  }
  SECTION("WebSocket and long polling") {
    Served<WebSocket, LongPolling> served({.default_wait = 60s});
    served.start();
    CHECK(served_by(served, "/c", event_stream) == "long");
    CHECK(served_by(served, "/c") == "long");
  }
  SECTION("WebSocket and short polling") {
    Served<WebSocket, ShortPolling> served;
    served.start();
    CHECK(served_by(served, "/c", upgrade) == "websocket");
    CHECK(served_by(served, "/c?wait=9", event_stream) == "short");
  }
}

TEST_CASE("the options offer fewer transports than the type", "[scenario][WIRE-2]") {
  ServedAll served({.only = {TransportKind::sse, TransportKind::websocket}});
  served.start();
  CHECK(served_by(served, "/c") == "sse");
  CHECK(served_by(served, "/c?wait=9") == "sse");
  CHECK(served_by(served, "/c", upgrade) == "websocket");
  CHECK_THROWS_AS((Served<Sse>({.only = {TransportKind::websocket}})), std::invalid_argument);
}
