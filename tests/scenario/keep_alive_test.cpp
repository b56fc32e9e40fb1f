#include <atomic>
#include <chrono>
#include <string>

#include "scenario/polling_server.hpp"
#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("a connection is kept alive for any number of polls", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  for (int i = 0; i < 20; ++i) {
    connection.send(request_text("GET", i % 2 ? "/c" : "/c?wait=0.001"));
    CHECK(connection.read_response().status == 200);
  }
  CHECK(served.server.connection_count() == 1);
}

TEST_CASE("Connection: close, and HTTP/1.0 without keep-alive, end the connection", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  SECTION("close") {
    connection.send(request_text("GET", "/c", "Connection: close\r\n"));
    const auto answer = connection.read_response();
    CHECK(answer.lists("Connection", "close"));
    CHECK(answer.status == 200);
  }
  SECTION("HTTP/1.0") {
    connection.send("GET /c HTTP/1.0\r\n\r\n");
    const auto answer = connection.read_response();
    CHECK(answer.minor_version == 1);
    CHECK(answer.status == 200);
  }
  SECTION("a held one") {
    connection.send(request_text("GET", "/c?wait=0.05", "Connection: close\r\n"));
    CHECK(connection.read_response().status == 200);
  }
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
}

TEST_CASE("HTTP/1.0 with keep-alive goes on and is told so", "[scenario][WIRE-3][RFC9112-9.3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  for (const auto* target : {"/c", "/c?wait=0.01", "/nowhere"}) {
    connection.send("GET " + std::string(target) + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const auto answer = connection.read_response();
    CHECK(answer.lists("Connection", "keep-alive"));
    CHECK(answer.header("Content-Length"));
  }
}

TEST_CASE("pipelined requests are answered in order", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto ids = served.publish_many(3);
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?cursor=" + ids[0]) + request_text("GET", "/nowhere") +
                  request_text("HEAD", "/c") + request_text("GET", "/c?cursor=" + ids[1]) +
                  request_text("GET", "/c", none_match(tag(ids[2]))) + request_text("GET", "/c?history=1"));
  CHECK(PollAnswer(connection.read_response()).data == Texts{"2", "3"});
  CHECK(connection.read_response().status == 404);
  CHECK(connection.read_response(true).status == 200);
  CHECK(PollAnswer(connection.read_response()).data == Texts{"3"});
  CHECK(connection.read_response().status == 304);
  CHECK(PollAnswer(connection.read_response()).data == Texts{"3"});
}

TEST_CASE("requests that come byte by byte are answered", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  for (const char c : request_text("GET", "/c") + request_text("GET", "/nowhere")) connection.send({&c, 1});
  CHECK(connection.read_response().status == 200);
  CHECK(connection.read_response().status == 404);
}

TEST_CASE("requests behind a held poll are answered after it", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto first = served.publish("1");
  auto connection = served.connect();
  SECTION("sent with it") {
    connection.send(request_text("GET", "/c?wait=60&cursor=" + first) + request_text("GET", "/nowhere") +
                    request_text("GET", "/c?cursor=" + first));
    REQUIRE(served.subscribers(1));
  }
  SECTION("sent while it is held, in two parts") {
    connection.send(request_text("GET", "/c?wait=60&cursor=" + first));
    REQUIRE(served.subscribers(1));
    const auto next = request_text("GET", "/nowhere") + request_text("GET", "/c?cursor=" + first);
    connection.send(next.substr(0, 50));
    connection.send(next.substr(50));
  }
  served.publish("2");
  CHECK(PollAnswer(connection.read_response()).data == Texts{"2"});
  CHECK(connection.read_response().status == 404);
  CHECK(PollAnswer(connection.read_response()).data == Texts{"2"});
}

TEST_CASE("a long poll behind a held one is held in its turn", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?wait=60") + request_text("GET", "/c?wait=60"));
  REQUIRE(served.subscribers(1));
  served.publish("1");
  CHECK(PollAnswer(connection.read_response()).data == Texts{"1"});
  REQUIRE(served.subscribers(1));
  served.publish("2");
  CHECK(PollAnswer(connection.read_response()).data == Texts{"2"});
}

TEST_CASE("more pipelined bytes than are kept come to their turn", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?wait=60"));
  REQUIRE(served.subscribers(1));
  std::string many;
  int count = 0;
  for (; many.size() < 200'000; ++count) many += request_text("GET", "/nowhere?x=" + std::string(1000, 'x'));
  connection.send(many);
  served.publish("1");
  CHECK(connection.read_response().status == 200);
  for (int i = 0; i < count; ++i) {
    if (connection.read_response().status != 404) FAIL("the request " << i << " was not answered in its turn");
  }
}

TEST_CASE("a request that is followed by a half-close is answered", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = served.connect();
  connection.send(request_text("GET", "/c"));
  connection.half_close();
  CHECK(connection.read_response().status == 200);
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
}

TEST_CASE("requests that came whole before a half-close are all answered", "[scenario][WIRE-3][RFC9112-9.3.2]") {
  std::atomic<int> taken{0};
  ServedAll served({}, {.max_encoded = 64 << 20});
  served.server.on_message("/c", [&](const Peer&, const Inbound&) { ++taken; });
  served.start();
  served.publish(std::string(8 << 20, 'x'));
  auto connection = slow_connection(served.port(), 4096);
  // The end comes while the second answer waits for its client.
  const auto before = request_text("GET", "/nowhere") + request_text("GET", "/c?cursor=earliest");
  const auto send = [&](const std::string& last) {
    connection.send(before + last);
    connection.half_close();
    CHECK(connection.read_response().status == 404);
    CHECK(connection.read_response().body.size() > 8 << 20);
  };
  SECTION("a POST") {
    send(request_text("POST", "/c", {}, "a"));
    CHECK(connection.read_response().status == 202);
    CHECK(connection.read_to_end().empty());
    CHECK(taken == 1);
  }
  SECTION("one that begins a stream, which it then ends") {
    send(request_text("GET", "/c", event_stream));
    CHECK(connection.read_response().status == 200);
    CHECK(connection.wait_for_end(5s) == Connection::End::closed);
  }
  SECTION("but for one whose head is not whole") {
    send("POST /c HTTP/1.1\r\nHost: h\r\n");
    CHECK(connection.read_to_end().empty());
  }
  SECTION("but for one whose body is not whole") {
    send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    CHECK(connection.read_to_end().empty());
    CHECK(taken == 0);
  }
  CHECK(served.connections(0));
}

TEST_CASE("an answer that its client takes slowly arrives whole", "[scenario][WIRE-3]") {
  Polled served({}, {.max_encoded = 64 << 20});
  served.start();
  const std::string large(6 << 20, 'x');
  const auto id = served.publish(large);
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?cursor=earliest") + request_text("GET", "/c"));
  const PollAnswer answer(connection.read_response());
  CHECK(answer.data.at(0) == large);
  CHECK(PollAnswer(connection.read_response()).cursor == id);
}

TEST_CASE("a client that takes nothing of its answer is reset", "[scenario][WIRE-3]") {
  EndpointOptions options;
  options.stream.write_timeout = 100ms;
  Polled served(options, {.max_encoded = 64 << 20});
  served.start();
  served.publish(std::string(15 << 20, 'x'));
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?cursor=earliest"));
  CHECK(served.connections(1));
  CHECK(eventually([&] { return served.server.connection_count() == 0; }, 20s));
}
