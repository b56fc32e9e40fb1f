#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;
using Polled = Served<ShortPolling, LongPolling>;

std::string tag(const std::string& id) { return '"' + id + '"'; }
std::string none_match(const std::string& value) { return "If-None-Match: " + value + "\r\n"; }

// The channel's time, moved by hand.
class MovableClock final : public Clock {
 public:
  TimePoint now() const noexcept override {
    const std::lock_guard guard(mutex_);
    return now_;
  }
  void advance(std::chrono::milliseconds time) {
    const std::lock_guard guard(mutex_);
    now_ += time;
  }

 private:
  mutable std::mutex mutex_;
  TimePoint now_{1h};
};

// Sends a poll that has nothing to answer with, and sees that it is held.
template <class S>
Connection hold(S& served, const std::string& target, const std::string& headers = {}) {
  auto connection = served.connect();
  connection.send(request_text("GET", target, headers));
  REQUIRE(served.subscribers(1));
  REQUIRE(connection.unread().empty());
  return connection;
}

}  // namespace

// --- the answer ---------------------------------------------------------------------------------------------------

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

// --- If-None-Match ------------------------------------------------------------------------------------------------

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

// --- the batch limits -----------------------------------------------------------------------------------------------

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

TEST_CASE("a held poll is not answered with less than what is there", "[scenario][WIRE-3]") {
  Polled served({}, {.history = {.max_messages = 5000}, .max_lag_messages = 1 << 20});
  served.start();
  auto connection = hold(served, "/c?wait=60");
  served.loop.run_on([&] { served.publish_many(1500); });
  const PollAnswer answer(connection.read_response());
  CHECK(answer.ids.size() == 1000);
  CHECK(answer.more);
}

// --- HEAD -----------------------------------------------------------------------------------------------------------

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

// --- long polling
// -----------------------------------------------------------------------------------------------------

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
  CHECK(served.get("/c?wait=60").status == 200);
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

// --- connections
// ------------------------------------------------------------------------------------------------------

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
  CHECK(served.connections(0));
}

// --- messages that are passed over
// --------------------------------------------------------------------------------------

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
