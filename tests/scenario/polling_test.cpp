#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "scenario/polling_server.hpp"
#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("a poll's answer is the JSON of the contract, byte for byte", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto first = served.publish("a \"quoted\" \\ line\n\x01\x7F\xC3\xA4");
  const auto second = served.publisher.publish({.data = "", .event = "price"}).value().to_string();
  const auto third = served.publisher.publish({.data = "m", .event = "message"}).value().to_string();
  const auto answer = served.get("/c?cursor=earliest");
  CHECK(answer.body == "{\"cursor\":\"" + third + "\",\"messages\":[{\"id\":\"" + first +
                           "\",\"data\":\"a \\\"quoted\\\" \\\\ line\\n\\u0001\x7F\xC3\xA4\"},{\"id\":\"" + second +
                           "\",\"event\":\"price\",\"data\":\"\"},{\"id\":\"" + third + "\",\"data\":\"m\"}]}");
  CHECK(nlohmann::json::parse(answer.body).at("messages").at(0).at("data") == "a \"quoted\" \\ line\n\x01\x7F\xC3\xA4");
}

TEST_CASE("a binary payload is base64 with its encoding beside it", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  served.publisher.publish({.data = std::string("\x00\xFF\xFE", 3), .event = "raw", .binary = true});
  served.publisher.publish({.data = "", .binary = true});
  const auto json = PollAnswer(served.get("/c?cursor=earliest")).json.at("messages");
  CHECK(json.at(0).at("data") == "AP/+");
  CHECK(json.at(0).at("encoding") == "base64");
  CHECK(json.at(0).at("event") == "raw");
  CHECK(json.at(1).at("data") == "");
  CHECK(json.at(1).at("encoding") == "base64");
  CHECK_FALSE(json.at(1).contains("event"));
}

TEST_CASE("a poll's answer has its headers", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto id = served.publish("1");
  const auto answer = served.get("/c?cursor=earliest");
  CHECK(answer.status == 200);
  CHECK(answer.header("Content-Type") == "application/json");
  CHECK(answer.header("ETag") == tag(id));
  CHECK(answer.header("Cache-Control") == "no-cache, no-store");
  CHECK(answer.header("Content-Length") == std::to_string(answer.body.size()));
  CHECK_FALSE(answer.header("Transfer-Encoding"));
  CHECK_FALSE(answer.header("Preference-Applied"));
  CHECK_FALSE(answer.header("Connection"));
  CHECK(answer.count("Date") == 1);
  CHECK(answer.header("Date").value().ends_with(" GMT"));
}

TEST_CASE("nothing new is an empty list and the same cursor", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto id = served.publish("1");
  const auto answer = served.get("/c?cursor=" + id);
  CHECK(answer.status == 200);
  CHECK(answer.body == "{\"cursor\":\"" + id + "\",\"messages\":[]}");
  CHECK(answer.header("ETag") == tag(id));
  CHECK(served.get("/c").body == answer.body);
}

TEST_CASE("no cursor gives the default start's messages and a cursor to go on from", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  served.publish("1");
  const auto cursor = PollAnswer(served.get("/c")).cursor;
  served.publish("2");
  CHECK(PollAnswer(served.get("/c?cursor=" + cursor)).data == Texts{"2"});
}

TEST_CASE("If-None-Match equal to the current tag is 304 with the 200's headers and no body", "[scenario][WIRE-3]") {
  Polled served({.cors = {.allowed_origins = {"https://a.example"}}});
  served.start();
  const auto id = served.publish("1");
  const std::string origin = "Origin: https://a.example\r\n";
  const auto whole = served.get("/c?cursor=" + id, origin);
  auto connection = served.connect();
  connection.send(request_text("GET", "/c", none_match(tag(id)) + origin) + request_text("GET", "/c"));
  const auto answer = connection.read_response();
  CHECK(answer.status == 304);
  CHECK_FALSE(answer.header("Content-Type"));
  CHECK(answer.header("Date"));
  for (const auto* name : {"ETag", "Cache-Control", "Vary", "Access-Control-Allow-Origin"}) {
    CAPTURE(name);
    CHECK(whole.header(name));
    CHECK(answer.header(name) == whole.header(name));
    CHECK(answer.count(name) == whole.count(name));
  }
  // No body: the next answer follows at once.
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("If-None-Match compares weakly", "[scenario][WIRE-3][RFC9110-13.1.2]") {
  Polled served;
  served.start();
  const auto ids = served.publish_many(2);
  CHECK(served.get("/c", none_match("W/" + tag(ids[1]))).status == 304);
  CHECK(PollAnswer(served.get("/c", none_match("W/" + tag(ids[0])))).data == Texts{"2"});
}

TEST_CASE("If-None-Match that is older gives what is newer", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto ids = served.publish_many(2);
  CHECK(PollAnswer(served.get("/c", none_match(tag(ids[0])))).data == Texts{"2"});
  CHECK(PollAnswer(served.get("/c?cursor=" + ids[0], none_match(tag(ids[1])))).data == Texts{"2"});
  CHECK(served.get("/c?cursor=" + ids[1], none_match(tag(ids[1]))).status == 304);
  CHECK(served.get("/c?cursor=" + ids[1], none_match(tag(ids[0]))).status == 200);
  CHECK(served.get("/c?cursor=latest", none_match(tag(ids[1]))).status == 304);
}

TEST_CASE("a tag that is no id, a list or * counts as not given", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  const auto id = served.publish("1");
  const std::string value = GENERATE(as<std::string>{}, "*", "\"a b\"", "\"\"", "unquoted", "\"a\", \"b\"", "W/", "\"",
                                     "\"earliest\"", "\"latest\"", "\"x/y\"", "W/\"x", "w/\"x\"");
  CAPTURE(value);
  const auto answer = served.get("/c", none_match(value));
  CHECK(answer.status == 200);
  CHECK(answer.body == "{\"cursor\":\"" + id + "\",\"messages\":[]}");
  CHECK(served.get("/c", none_match(tag(std::string(65, 'x')))).status == 200);
  CHECK(served.get("/c", none_match(tag(id)) + none_match(tag(id))).status == 200);
}

TEST_CASE("If-Modified-Since is ignored", "[scenario][WIRE-3]") {
  Polled served;
  served.start();
  served.publish("1");
  CHECK(served.get("/c", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n").status == 200);
}

TEST_CASE("an answer has at most 1000 messages, and says when there are more", "[scenario][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 5000}});
  served.start();
  const auto ids = served.publish_many(2500);
  std::string cursor = "earliest";
  std::vector<std::size_t> sizes;
  Texts got;
  for (bool more = true; more;) {
    const PollAnswer answer(served.get("/c?cursor=" + cursor));
    sizes.push_back(answer.ids.size());
    got.insert(got.end(), answer.ids.begin(), answer.ids.end());
    cursor = answer.cursor;
    more = answer.more;
    CHECK(answer.json.contains("more") == more);
  }
  CHECK(sizes == std::vector<std::size_t>{1000, 1000, 500});
  CHECK(got == ids);
}

TEST_CASE("exactly 1000 messages are not cut", "[scenario][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 5000}});
  served.start();
  served.publish_many(1000);
  const PollAnswer answer(served.get("/c?cursor=earliest"));
  CHECK(answer.ids.size() == 1000);
  CHECK_FALSE(answer.more);
}

TEST_CASE("an answer has at most 1 MiB, but at least one message", "[scenario][WIRE-3]") {
  Polled served({}, {.max_encoded = 32 << 20});
  served.start();
  SECTION("small messages are cut before the limit") {
    for (int i = 0; i < 30; ++i) served.publish(std::string(100'000, 'x'));
    std::string cursor = "earliest";
    std::size_t count = 0;
    for (bool more = true; more;) {
      const auto response = served.get("/c?cursor=" + cursor);
      CHECK(response.body.size() <= (1 << 20) + 200);
      const PollAnswer answer(response);
      count += answer.ids.size();
      cursor = answer.cursor;
      more = answer.more;
      if (more) CHECK(answer.ids.size() == 10);
    }
    CHECK(count == 30);
  }
  SECTION("one message beyond it comes alone") {
    const auto first = served.publish(std::string(3 << 20, 'x'));
    const auto second = served.publish("2");
    PollAnswer answer(served.get("/c?cursor=earliest"));
    CHECK(answer.ids == Texts{first});
    CHECK(answer.data[0].size() == 3 << 20);
    CHECK(answer.more);
    answer = PollAnswer(served.get("/c?cursor=" + answer.cursor));
    CHECK(answer.ids == Texts{second});
    CHECK_FALSE(answer.more);
  }
}

TEST_CASE("messages that expired are passed over without a gap and with the same cursor",
          "[scenario][WIRE-1][WIRE-3]") {
  const auto clock = std::make_shared<MovableClock>();
  Polled served({}, {.clock = clock});
  served.start();
  const auto first = served.publish("1");
  for (int i = 0; i < 3; ++i) served.publisher.publish({.data = "x", .time_to_live = 10s});
  CHECK(PollAnswer(served.get("/c?cursor=" + first)).ids.size() == 3);
  clock->advance(11s);
  const auto answer = served.get("/c?cursor=" + first);
  CHECK(answer.body == "{\"cursor\":\"" + first + "\",\"messages\":[]}");
  CHECK(answer.header("ETag") == tag(first));
  CHECK(served.get("/c", none_match(tag(first))).status == 304);
  CHECK(served.get("/c?wait=0.02", none_match(tag(first))).status == 304);
  CHECK(served.get("/c?wait=0.02&cursor=" + first).body == answer.body);
  const auto next = served.publish("2");
  CHECK(PollAnswer(served.get("/c?cursor=" + first)).ids == Texts{next});
  CHECK(PollAnswer(served.get("/c?cursor=earliest")).data == Texts{"1", "2"});
}

TEST_CASE("a message that a newer one of its key superseded is passed over", "[scenario][WIRE-1][WIRE-3]") {
  Polled served;
  served.start();
  const auto first = served.publish("1");
  served.publisher.publish({.data = "old", .key = "k"});
  served.publish("2");
  served.publisher.publish({.data = "new", .key = "k"});
  const PollAnswer answer(served.get("/c?cursor=" + first));
  CHECK_FALSE(answer.gap);
  CHECK(answer.data == Texts{"2", "new"});
}

TEST_CASE("a cursor at a message that was superseded or expired is no gap", "[scenario][WIRE-1][WIRE-3]") {
  Polled served;
  served.start();
  const auto old = served.publisher.publish({.data = "old", .key = "k"}).value().to_string();
  served.publisher.publish({.data = "new", .key = "k"});
  const PollAnswer answer(served.get("/c?cursor=" + old));
  CHECK_FALSE(answer.gap);
  CHECK(answer.data == Texts{"new"});
}

TEST_CASE("many messages with superseded ones between them all come", "[scenario][WIRE-1][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 5000}});
  served.start();
  CHECK(PollAnswer(served.get("/c?cursor=earliest")).ids.empty());
  for (int i = 0; i < 300; ++i) {
    served.publisher.publish({.data = "k" + std::to_string(i), .key = "k"});
    served.publish(std::to_string(i));
    if (i % 50 == 0) PollAnswer(served.get("/c?cursor=earliest"));
  }
  Texts got;
  std::string cursor = "earliest";
  for (bool more = true; more;) {
    const PollAnswer answer(served.get("/c?cursor=" + cursor));
    CHECK_FALSE(answer.gap);
    got.insert(got.end(), answer.data.begin(), answer.data.end());
    cursor = answer.cursor;
    more = answer.more;
  }
  REQUIRE(got.size() == 301);
  for (int i = 0; i < 299; ++i) CHECK(got[static_cast<std::size_t>(i)] == std::to_string(i));
  CHECK(got[299] == "k299");
  CHECK(got[300] == "299");
}

TEST_CASE("messages past their age are lost, and a cursor before them is a gap", "[scenario][WIRE-1]") {
  const auto clock = std::make_shared<MovableClock>();
  Polled served({}, {.history = {.max_age = 60s}, .clock = clock});
  served.start();
  const auto ids = served.publish_many(2);
  clock->advance(61s);
  const PollAnswer answer(served.get("/c?cursor=" + ids[0]));
  CHECK(answer.gap);
  CHECK(answer.ids.empty());
  CHECK(answer.cursor == ids[1]);
  CHECK_FALSE(PollAnswer(served.get("/c?cursor=" + ids[1])).gap);
}
