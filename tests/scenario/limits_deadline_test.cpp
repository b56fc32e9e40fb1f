#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/limits.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

using Steady = std::chrono::steady_clock;

// Sends a byte every few milliseconds until the server has said something or closed. It would go on for longer than
// the patience if bytes put the deadline off.
void trickle(Connection& connection, std::string_view bytes) {
  std::size_t sent = 0;
  CHECK(eventually([&] {
    connection.try_send(bytes.substr(sent++ % bytes.size(), 1));
    return connection.wait_for_end(5ms) != Connection::End::open || !connection.unread().empty();
  }));
}

constexpr auto timeout = 300ms;

struct Deadlines {
  explicit Deadlines(EndpointOptions options = {.linger_timeout = timeout}) : served(short_times(std::move(options))) {
    served.server.on_message("/c", [this](const Peer&, const Inbound&) { ++executed; });
    served.start();
  }
  static EndpointOptions short_times(EndpointOptions options) {
    options.head_timeout = options.body_timeout = timeout;
    return options;
  }

  std::atomic<int> executed{0};
  ServedAll served;
};

}  // namespace

TEST_CASE("a head that comes byte by byte does not put its deadline off", "[scenario][WIRE-8]") {
  Deadlines test;
  auto connection = test.served.connect();
  SECTION("of the first request") {}
  SECTION("of a later one") {
    connection.send(request_text("GET", "/c"));
    CHECK(connection.read_response().status == 200);
  }
  SECTION("after empty lines") {
    connection.send(request_text("GET", "/c") + "\r\n");
    CHECK(connection.read_response().status == 200);
    connection.send("\r\n");
  }
  trickle(connection, "GET /c HTTP/1.1\r\nA: b\r\nB: b\r\nC: c\r\nD: d\r\nE: e\r\nF: " + std::string(1000, 'x'));
  CHECK(connection.read_response().status == 408);
  CHECK(connection.read_to_end().empty());
  CHECK(test.served.connections(0));
}

TEST_CASE("empty lines before a later request do not put off its deadline, or the idle time", "[scenario][WIRE-8]") {
  Deadlines test;
  auto connection = test.served.connect();
  connection.send(request_text("GET", "/c"));
  CHECK(connection.read_response().status == 200);
  trickle(connection, "\r\n");
  CHECK(test.served.connections(0));
}

TEST_CASE("an empty line behind a body begins no request: the connection may be idle as before",
          "[scenario][WIRE-8][RFC9112-2.2]") {
  Deadlines test;
  auto connection = test.served.connect();
  SECTION("that comes with it") {
    connection.send(request_text("POST", "/c", {}, "a") + "\r\n");
    CHECK(connection.read_response().status == 202);
  }
  SECTION("that comes after the answer") {
    connection.send(request_text("POST", "/c", {}, "a"));
    CHECK(connection.read_response().status == 202);
    connection.send("\r\n");
  }
  CHECK(connection.wait_for_end(3 * timeout) == Connection::End::open);
  connection.send(request_text("POST", "/c", {}, "b"));
  CHECK(connection.read_response().status == 202);
  connection.send("\r\nPOST");
  CHECK(connection.read_response().status == 408);
}

TEST_CASE("a body that comes byte by byte does not put its deadline off", "[scenario][WIRE-8]") {
  Deadlines test;
  auto connection = test.served.connect();
  std::string bytes = "x";
  SECTION("by length") { connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"); }
  SECTION("by chunks") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    bytes = "1\r\nx\r\n";
  }
  trickle(connection, bytes);
  CHECK(connection.read_response().status == 408);
  CHECK(connection.read_to_end().empty());
  CHECK(test.executed == 0);
  connection.close();
  CHECK(test.served.connections(0));
}

TEST_CASE("who takes no bytes of a big answer or of a stream is reset", "[scenario][WIRE-9]") {
  EndpointOptions options;
  options.stream.write_timeout = timeout;
  ChannelOptions channel;
  channel.max_lag = 64 << 20;
  ServedAll served(options, channel);
  served.start();
  for (int i = 0; i < 100; ++i) served.publish(std::string(100'000, 'x'));
  auto connection = slow_connection(served.port(), 4096);
  std::string_view target = "/c?cursor=earliest";
  SECTION("short polling") { connection.send(request_text("GET", target)); }
  SECTION("a poll that need not wait") { connection.send(request_text("GET", "/c?cursor=earliest&wait=60")); }
  SECTION("polls in a row") {
    for (int i = 0; i < 10; ++i) connection.send(request_text("GET", target));
  }
  SECTION("SSE") { connection.send(request_text("GET", target, asks_for_sse)); }
  SECTION("WebSocket") {
    connection.send(
        request_text("GET", target, std::string(asks_for_websocket) + "Sec-WebSocket-Protocol: downlink.v1\r\n"));
  }
  REQUIRE(served.connections(1));
  CHECK(served.connections(0));
  CHECK(served.channel.subscriber_count() == 0);
  CHECK(connection.wait_for_end(5s) == Connection::End::reset);
}

TEST_CASE("who takes a big answer slowly, but does, gets it whole", "[scenario][WIRE-9]") {
  EndpointOptions options;
  options.stream.write_timeout = 2s;
  ServedAll served(options);
  served.start();
  for (int i = 0; i < 20; ++i) served.publish(std::string(100'000, 'x'));
  auto connection = slow_connection(served.port(), 4096);
  connection.send(request_text("GET", "/c?cursor=earliest"));
  const auto head = connection.read_head();
  const auto size = std::stoul(head.header("Content-Length").value());
  // Longer in all than the time-out.
  std::size_t got = 0;
  const auto begin = Steady::now();
  while (got < size) {
    const std::size_t part = std::min<std::size_t>(size / 40, size - got);
    REQUIRE(connection.read_exactly(part).size() == part);
    got += part;
    connection.wait_for_end(80ms);
  }
  CHECK(Steady::now() - begin > 2s);
}

TEST_CASE("who takes in a write time-out less than the system has to get rid of, but takes some, is not reset",
          "[scenario][WIRE-9]") {
  EndpointOptions options;
  options.stream.write_timeout = 1s;
  options.socket.user_timeout = 2s;
  ServedAll served(options);
  served.start();
  served.publish(std::string(900'000, 'x'));
  auto connection = slow_connection(served.port(), 4096);
  std::string_view target = "/c?cursor=earliest";
  SECTION("short polling") { connection.send(request_text("GET", target)); }
  SECTION("SSE") { connection.send(request_text("GET", target, asks_for_sse)); }
  SECTION("WebSocket") {
    connection.send(
        request_text("GET", target, std::string(asks_for_websocket) + "Sec-WebSocket-Protocol: downlink.v1\r\n"));
  }
  // 10 KB in each time-out, which is less than the 64 KiB that have to go before there is room for more.
  const auto begin = Steady::now();
  std::array<char, 1000> some;
  while (Steady::now() - begin < 4s) {
    const auto got = ::recv(connection.native_handle(), some.data(), some.size(), MSG_DONTWAIT);
    REQUIRE((got > 0 || (got < 0 && errno == EAGAIN)));
    std::this_thread::sleep_for(100ms);
  }
  CHECK(served.server.stats().write_timeouts == 0);
  CHECK(served.connections(1));
  // And is once it takes no more.
  REQUIRE(eventually([&] { return served.server.stats().write_timeouts == 1; }));
  CHECK(served.connections(0));
}

TEST_CASE("an answer arrives though the client sends more than is read of it", "[scenario][WIRE-8]") {
  Deadlines test({.linger_timeout = 3s, .linger_bytes = 10'000});
  auto connection = test.served.connect();
  std::string_view status;
  SECTION("after a body too large") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 200000000\r\n\r\n");
    status = "HTTP/1.1 413 ";
  }
  SECTION("after a body that nobody takes") {
    connection.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    status = "HTTP/1.1 404 ";
  }
  // All that the kernels hold, and then nothing: the server has stopped reading, and has not reset.
  const std::string much(100'000, 'x');
  std::size_t sent = 0;
  for (std::size_t got = 1; got > 0; sent += got) got = connection.try_send(much);
  CHECK(sent > 10'000);
  const int error = ::send(connection.native_handle(), "x", 1, MSG_NOSIGNAL) < 0 ? errno : 0;
  CHECK(error == EAGAIN);
  CHECK(connection.read_until("\r\n").starts_with(status));
  CHECK(test.served.connections(0));
  CHECK(test.executed == 0);
}

TEST_CASE("a body that is refused by its length is not asked for, and one that is taken is", "[scenario][WIRE-6]") {
  Deadlines test;
  const auto expects = [](std::string_view length) {
    return "POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: " + std::string(length) + "\r\n\r\n";
  };
  auto refused = test.served.connect();
  refused.send(expects("2000000"));
  const auto answer = refused.read_response();
  CHECK(answer.status == 413);
  CHECK(answer.lists("Connection", "close"));

  auto taken = test.served.connect();
  taken.send(expects("1"));
  CHECK(taken.read_response().status == 100);
  taken.send("x");
  CHECK(taken.read_response().status == 202);
  CHECK(test.executed == 1);
}
