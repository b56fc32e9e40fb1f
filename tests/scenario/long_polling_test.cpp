#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "scenario/polling_server.hpp"
#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("a held poll is not answered with less than what is there", "[scenario][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 5000}, .max_lag_messages = 1 << 20});
  served.start();
  auto connection = hold(served, "/c?wait=60");
  served.loop.run_on([&] { served.publish_many(1500); });
  const PollAnswer answer(connection.read_response());
  CHECK(answer.ids.size() == 1000);
  CHECK(answer.more);
}

TEST_CASE("HEAD has the GET's headers and no body, and is never held", "[scenario][WIRE-3][RFC9110-9.3.2]") {
  Served<LongPolling> served({.default_wait = 60s});
  served.start();
  const auto ids = served.publish_many(2);
  auto connection = served.connect();
  connection.send(request_text("HEAD", "/c?cursor=earliest") + request_text("GET", "/c?cursor=earliest"));
  const auto head = connection.read_response(true);
  const auto whole = connection.read_response();
  CHECK(head.status == 200);
  REQUIRE(head.headers.size() == whole.headers.size());
  for (std::size_t i = 0; i < head.headers.size(); ++i) {
    if (head.headers[i].first != "Date") CHECK(head.headers[i] == whole.headers[i]);
  }
  connection.send(request_text("HEAD", "/c?wait=60&cursor=" + ids[1]));
  CHECK(connection.read_response(true).header("ETag") == tag(ids[1]));
  connection.send(request_text("HEAD", "/c", none_match(tag(ids[1]))));
  CHECK(connection.read_response(true).status == 304);
  CHECK(served.channel.subscriber_count() == 0);
}

TEST_CASE("a long poll is answered at once when something is there", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto ids = served.publish_many(2);
  CHECK(PollAnswer(served.get("/c?wait=60&cursor=" + ids[0])).data == Texts{"2"});
  CHECK(PollAnswer(served.get("/c?wait=60&cursor=earliest")).data == Texts{"1", "2"});
}

TEST_CASE("a held poll is answered by a publish from another thread", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto first = served.publish("1");
  auto connection = hold(served, "/c?wait=60&cursor=" + first);
  std::jthread publishing([&] { served.publish("2"); });
  const auto response = connection.read_response();
  CHECK(PollAnswer(response).data == Texts{"2"});
  CHECK(response.header("ETag") == tag(PollAnswer(response).ids.at(0)));
  CHECK(served.subscribers(0));
}

TEST_CASE("held polls from one cursor are all answered", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  std::vector<Connection> connections;
  for (int i = 0; i < 40; ++i) {
    connections.push_back(served.connect());
    connections.back().send(request_text("GET", "/c?wait=60"));
  }
  REQUIRE(served.subscribers(40));
  const auto id = served.publish("1");
  for (auto& connection : connections) {
    const PollAnswer answer(connection.read_response());
    CHECK(answer.ids == Texts{id});
    CHECK(answer.cursor == id);
  }
  CHECK(served.subscribers(0));
}

TEST_CASE("when the wait is over the answer has the same cursor", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto id = served.publish("1");
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = served.get("/c?wait=0.2&cursor=" + id);
  CHECK(std::chrono::steady_clock::now() - begin >= 195ms);
  CHECK(answer.status == 200);
  CHECK(answer.body == "{\"cursor\":\"" + id + "\",\"messages\":[]}");
  CHECK(served.channel.subscriber_count() == 0);
}

TEST_CASE("when the wait of a poll with If-None-Match is over the answer is 304", "[scenario][WIRE-3]") {
  Polled served({.cors = {.allowed_origins = {"*"}}});
  served.start();
  const auto id = served.publish("1");
  const auto answer = served.get("/c?wait=0.05", none_match("W/" + tag(id)) + "Origin: https://a.example\r\n");
  CHECK(answer.status == 304);
  CHECK(answer.header("ETag") == tag(id));
  CHECK(answer.header("Cache-Control") == "no-cache, no-store");
  CHECK(answer.lists("Vary", "Origin"));
  CHECK(answer.header("Access-Control-Allow-Origin") == "*");
}

TEST_CASE("the wait is clamped to the endpoint's maximum", "[scenario][WIRE-3]") {
  Polled served({.max_wait = 100ms});
  served.start();
  CHECK(served.get("/c?wait=86400").status == 200);
  CHECK(served.get("/c", "Prefer: wait=99999999999999999999\r\n").status == 200);
  CHECK(served.get("/c?wait=99999999999999999999").status == 200);

  Served<LongPolling> longer({.max_wait = 100ms, .default_wait = 60s});
  longer.start();
  CHECK(longer.get("/c").status == 200);
}

TEST_CASE("Preference-Applied and Vary answer a Prefer", "[scenario][WIRE-3][RFC7240-3]") {
  Served<LongPolling> served({.max_wait = 1s});
  served.start();
  const auto id = served.publish("1");
  auto answer = served.get("/c?cursor=earliest", "Prefer: wait=600\r\n");
  CHECK(answer.header("Preference-Applied") == "wait=1");
  CHECK(answer.lists("Vary", "Prefer"));
  CHECK(answer.lists("Vary", "Origin"));
  answer = served.get("/c?cursor=earliest", "Prefer: respond-async, wait=1; x=y\r\n");
  CHECK(answer.header("Preference-Applied") == "wait=1");
  answer = served.get("/c", "Prefer: wait=0\r\n" + none_match(tag(id)));
  CHECK(answer.status == 304);
  CHECK(answer.header("Preference-Applied") == "wait=0");
  CHECK(answer.lists("Vary", "Prefer"));
  for (const auto* headers : {"", "Prefer: wait=soon\r\n", "Prefer: respond-async\r\n", "Prefer: =;,\r\n"}) {
    answer = served.get("/c?cursor=earliest", headers);
    CHECK(answer.status == 200);
    CHECK_FALSE(answer.header("Preference-Applied"));
  }
}

TEST_CASE("a held poll counts as a subscriber until its client goes away", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = hold(served, "/c?wait=60");
  SECTION("by closing") { connection.close(); }
  SECTION("by a half-close") { connection.half_close(); }
  SECTION("by a reset") { connection.reset(); }
  CHECK(served.subscribers(0));
  CHECK(served.connections(0));
}

TEST_CASE("a client that goes away while held with pipelined bytes is let go of", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = hold(served, "/c?wait=60");
  SECTION("a few, and a close") {
    connection.send("GET /c HTTP/1.1\r\n");
    connection.close();
  }
  SECTION("more than are kept, and a reset") {
    std::string many;
    while (many.size() < 200'000) many += request_text("GET", "/c?x=" + std::string(1000, 'x'));
    connection.send(many);
    connection.reset();
  }
  CHECK(served.subscribers(0));
  CHECK(served.connections(0));
}

TEST_CASE("a held poll is answered when its channel is closed", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  auto connection = hold(served, "/c?wait=60");
  served.channel.close();
  CHECK(PollAnswer(connection.read_response()).ids.empty());
}

TEST_CASE("a poll of a channel that was closed before it came is held for its time, unless there is something to read",
          "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto ids = served.publish_many(2);
  served.channel.close();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    CHECK(served.get("/c?wait=0.1&cursor=" + ids[1]).body == "{\"cursor\":\"" + ids[1] + "\",\"messages\":[]}");
  }
  CHECK(std::chrono::steady_clock::now() - begin >= 300ms);
  CHECK(PollAnswer(served.get("/c?wait=60&cursor=" + ids[0])).data == Texts{"2"});
  CHECK(PollAnswer(served.get("/c?wait=60&cursor=other-1")).gap);
  CHECK(served.get("/c?cursor=" + ids[1]).status == 200);
  auto connection = hold(served, "/c?wait=60");
  connection.close();
  CHECK(served.subscribers(0));
}

TEST_CASE("a held poll whose log moves on past it gets what is retained", "[scenario][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 1}});
  served.start();
  const auto first = served.publish("1");
  auto connection = hold(served, "/c?wait=60&cursor=" + first);
  served.loop.run_on([&] { served.publish_many(20); });
  const PollAnswer answer(connection.read_response());
  CHECK_FALSE(answer.gap);
  CHECK(answer.ids.size() == 20);
}
