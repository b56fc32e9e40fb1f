#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;

namespace {

using Texts = std::vector<std::string>;
using ShortPolled = Served<ShortPolling>;

Texts data_of(ShortPolled& served, const std::string& query, const std::string& headers = {}) {
  return PollAnswer(served.get("/c?" + query, headers)).data;
}

}  // namespace

TEST_CASE("a message's id is 1 to 64 characters of [A-Za-z0-9._-] and no reserved word", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  served.publish_many(3);
  const PollAnswer answer(served.get("/c?cursor=earliest"));
  std::set<std::string> ids(answer.ids.begin(), answer.ids.end());
  CHECK(ids.size() == 3);
  ids.insert(answer.cursor);
  for (const auto& id : ids) {
    CHECK(wire::is_cursor_text(id));
    CHECK(id != "earliest");
    CHECK(id != "latest");
  }
}

TEST_CASE("Last-Event-ID wins over the query's cursor, and that over its other names", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const auto ids = served.publish_many(5);
  const auto tag = [&](int i) { return "If-None-Match: \"" + ids[static_cast<std::size_t>(i)] + "\"\r\n"; };
  CHECK(data_of(served, "cursor=" + ids[0] + "&last_event_id=" + ids[1],
                "Last-Event-ID: " + ids[3] + "\r\n" + tag(2)) == Texts{"5"});
  CHECK(data_of(served, "last_event_id=" + ids[1] + "&cursor=" + ids[3], tag(0)) == Texts{"5"});
  CHECK(data_of(served, "lastEventId=" + ids[2], tag(0)) == Texts{"4", "5"});
  CHECK(data_of(served, "last_event_id=" + ids[2], tag(0)) == Texts{"4", "5"});
  CHECK(data_of(served, "", tag(1)) == Texts{"3", "4", "5"});
  CHECK(data_of(served, "", "last-event-id: " + ids[3] + "\r\n") == Texts{"5"});
}

TEST_CASE("an empty value counts as not given", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const auto ids = served.publish_many(3);
  CHECK(data_of(served, "cursor=" + ids[1], "Last-Event-ID: \r\n") == Texts{"3"});
  CHECK(data_of(served, "cursor=&lastEventId=" + ids[1]) == Texts{"3"});
  CHECK(data_of(served, "cursor=&last_event_id=&lastEventId=", "If-None-Match: \"" + ids[0] + "\"\r\n") ==
        Texts{"2", "3"});
  CHECK(data_of(served, "cursor=").empty());
}

TEST_CASE("earliest, latest and history=N stand in a cursor's place", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const auto ids = served.publish_many(4);
  CHECK(data_of(served, "cursor=earliest") == Texts{"1", "2", "3", "4"});
  CHECK(data_of(served, "", "Last-Event-ID: earliest\r\n") == Texts{"1", "2", "3", "4"});
  CHECK(data_of(served, "cursor=latest").empty());
  CHECK(data_of(served, "history=2") == Texts{"3", "4"});
  CHECK(data_of(served, "history=0").empty());
  CHECK(data_of(served, "history=9") == Texts{"1", "2", "3", "4"});
  CHECK(data_of(served, "history=99999999999999999999999") == Texts{"1", "2", "3", "4"});
  CHECK(data_of(served, "history=9&cursor=" + ids[2]) == Texts{"4"});
  CHECK(data_of(served, "history=9&cursor=latest").empty());
  CHECK(data_of(served, "history=9", "If-None-Match: \"" + ids[2] + "\"\r\n") == Texts{"4"});
  const PollAnswer latest(served.get("/c?cursor=latest"));
  CHECK(latest.cursor == ids[3]);
  CHECK_FALSE(latest.gap);
}

TEST_CASE("without a cursor the route's default start holds", "[scenario][WIRE-1]") {
  SECTION("latest unless configured") {
    ShortPolled served;
    served.start();
    served.publish_many(2);
    CHECK(data_of(served, "").empty());
  }
  SECTION("earliest where configured") {
    ShortPolled served({}, {}, {.start = DefaultStart::earliest});
    served.start();
    served.publish_many(2);
    CHECK(data_of(served, "") == Texts{"1", "2"});
    CHECK(data_of(served, "cursor=latest").empty());
  }
}

TEST_CASE("what is no cursor, and a history that is no number, is 400", "[scenario][WIRE-1]") {
  ServedAll served;
  served.start();
  const std::string query = GENERATE(as<std::string>{}, "cursor=a%20b", "cursor=a+b", "cursor=%00", "cursor=%C3%A4",
                                     "cursor=a/b", "cursor=*", "last_event_id=,", "lastEventId=%0A", "history=x",
                                     "history=-1", "history=1.5", "history=+1", "history=1%20");
  CAPTURE(query);
  for (const auto* headers : {"", "Accept: text/event-stream\r\n", "Prefer: wait=5\r\n"}) {
    const auto answer = served.get("/c?" + query, headers);
    CHECK(answer.status == 400);
    CHECK(answer.header("Content-Type") == "application/problem+json");
  }
}

TEST_CASE("a cursor of 64 characters is one, of 65 is 400", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  CHECK(PollAnswer(served.get("/c?cursor=" + std::string(64, 'x'))).gap);
  CHECK(served.get("/c?cursor=" + std::string(65, 'x')).status == 400);
  CHECK(served.get("/c", "Last-Event-ID: " + std::string(65, 'x') + "\r\n").status == 400);
  CHECK(served.get("/c", "Last-Event-ID: a b\r\n").status == 400);
}

TEST_CASE("a malformed cursor is 400 even where another one follows", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const auto id = served.publish("1");
  CHECK(served.get("/c?cursor=" + id, "Last-Event-ID: a b\r\n").status == 400);
  CHECK(served.get("/c?cursor=a/b&lastEventId=" + id).status == 400);
}

TEST_CASE("queries are decoded as forms", "[scenario][WIRE-2]") {
  ShortPolled served;
  served.start();
  const auto ids = served.publish_many(2);
  std::string encoded;
  for (const char c : ids[0]) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    encoded += {'%', digits[static_cast<unsigned char>(c) >> 4], digits[c & 15]};
  }
  CHECK(data_of(served, "a=b&&%63ursor=" + encoded) == Texts{"2"});
}

TEST_CASE("a cursor that this log did not make, has lost, or lies in its future is a gap", "[scenario][WIRE-1]") {
  ShortPolled served({}, {.history = {.max_messages = 2}});
  served.start();
  const auto ids = served.publish_many(5);
  const std::string epoch = ids[0].substr(0, ids[0].find('-'));
  const auto gap_at = [&](const std::string& cursor) {
    CAPTURE(cursor);
    const PollAnswer answer(served.get("/c?cursor=" + cursor));
    CHECK(answer.gap);
    CHECK(answer.json.at("gap") == true);
    CHECK(answer.data == Texts{"4", "5"});
    CHECK(answer.cursor == ids[4]);
  };
  gap_at(ids[0]);
  gap_at(ids[1]);
  gap_at(epoch + "-0");
  gap_at(epoch + "-6");
  gap_at(epoch + "-99999999999999999999");
  gap_at(epoch + "-05");
  gap_at(epoch);
  gap_at("zzzzzzzzzz-5");
  gap_at("foo");
  gap_at("-");
  gap_at("Earliest");

  const PollAnswer whole(served.get("/c?cursor=" + ids[2]));
  CHECK(whole.data == Texts{"4", "5"});
  CHECK_FALSE(whole.json.contains("gap"));
}

TEST_CASE("earliest, latest and history are never a gap", "[scenario][WIRE-1]") {
  ShortPolled served({}, {.history = {.max_messages = 2}});
  served.start();
  served.publish_many(5);
  for (const auto* query : {"cursor=earliest", "cursor=latest", "history=1", "history=5", "x"}) {
    CHECK_FALSE(PollAnswer(served.get(std::string("/c?") + query)).json.contains("gap"));
  }
}

TEST_CASE("a gap in an empty log says so, and its cursor goes on", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const PollAnswer gap(served.get("/c?cursor=foreign-7"));
  CHECK(gap.gap);
  CHECK(gap.ids.empty());
  const PollAnswer after(served.get("/c?cursor=" + gap.cursor));
  CHECK_FALSE(after.gap);
  const auto id = served.publish("1");
  const PollAnswer next(served.get("/c?cursor=" + gap.cursor));
  CHECK_FALSE(next.gap);
  CHECK(next.ids == Texts{id});
}

TEST_CASE("a long poll with a gap is answered at once", "[scenario][WIRE-1]") {
  Served<LongPolling> served;
  served.start();
  const auto id = served.publish("1");
  const auto answer = served.get("/c?wait=60&cursor=foreign-7");
  CHECK(PollAnswer(answer).gap);
  CHECK(PollAnswer(answer).ids == Texts{id});
  CHECK(PollAnswer(served.get("/c", "Prefer: wait=60\r\nIf-None-Match: \"foreign-7\"\r\n")).gap);
}

TEST_CASE("an epoch that changes is a gap for each standing cursor", "[scenario][WIRE-1]") {
  ShortPolled served;
  served.start();
  const auto ids = served.publish_many(2);
  REQUIRE(served.channel.append({7, 40}, {.data = "new"}));
  const PollAnswer answer(served.get("/c?cursor=" + ids[1]));
  CHECK(answer.gap);
  CHECK(answer.data == Texts{"new"});
  CHECK(answer.cursor == "7-40");
}

TEST_CASE("a jump of the offsets is a gap for a held poll too", "[scenario][WIRE-1]") {
  Served<LongPolling> served;
  served.start();
  const auto id = served.publish("1");
  auto connection = served.connect();
  connection.send(request_text("GET", "/c?wait=60&cursor=" + id));
  REQUIRE(served.subscribers(1));
  REQUIRE(served.channel.append({served.channel.latest().epoch, 9}, {.data = "9"}));
  const PollAnswer answer(connection.read_response());
  CHECK(answer.gap);
  CHECK(answer.data == Texts{"9"});
}

TEST_CASE("polls one after the other repeat nothing and skip nothing", "[scenario][WIRE-1]") {
  constexpr int total = 3000;
  Served<ShortPolling, LongPolling> served({}, {.history = {.max_messages = total}});
  served.start();
  Connection connection = served.connect();
  connection.send(request_text("GET", "/c"));
  std::string cursor = PollAnswer(connection.read_response()).cursor;

  std::jthread publishing([&] {
    for (int i = 1; i <= total; ++i) served.publish(std::to_string(i));
  });
  int expected = 1;
  bool by_tag = false;
  while (expected <= total) {
    // In turn by each way to hand a cursor in, and over both transports.
    by_tag = !by_tag;
    connection.send(by_tag ? request_text("GET", "/c?wait=5", "If-None-Match: \"" + cursor + "\"\r\n")
                           : request_text("GET", "/c?cursor=" + cursor));
    const auto response = connection.read_response();
    if (response.status == 304) continue;
    const PollAnswer answer(response);
    if (answer.gap) FAIL("a gap");
    for (const auto& text : answer.data) {
      if (text != std::to_string(expected++)) FAIL("out of order at " << expected << ": " << text);
    }
    if (!answer.ids.empty() && answer.ids.back() != answer.cursor) FAIL("the cursor is not the last id");
    cursor = answer.cursor;
  }
  CHECK(expected == total + 1);
}

TEST_CASE("with one message of history the newest one is retained, whatever its size", "[scenario][WIRE-1]") {
  ShortPolled served({}, {.history = {.max_messages = 1, .max_bytes = 10}});
  served.start();
  const auto first = served.publish("1");
  const auto second = served.publish(std::string(1000, 'x'));
  PollAnswer answer(served.get("/c?cursor=" + first));
  CHECK_FALSE(answer.gap);
  CHECK(answer.ids == Texts{second});
  served.publish("3");
  answer = PollAnswer(served.get("/c?cursor=" + first));
  CHECK(answer.gap);
  CHECK(answer.data == Texts{"3"});
  CHECK_FALSE(PollAnswer(served.get("/c?cursor=" + second)).gap);
}

TEST_CASE("a cursor of one transport holds for another", "[scenario][WIRE-1]") {
  ServedAll served;
  served.start();
  const auto ids = served.publish_many(2);
  auto stream = served.connect();
  stream.send(request_text("GET", "/c?cursor=" + ids[0], "Accept: text/event-stream\r\n"));
  const auto text = stream.read_until("data: 2\n\n");
  CHECK(text.find("id: " + ids[1] + "\n") != std::string::npos);
  CHECK(text.find("data: 1\n") == std::string::npos);
  const auto third = served.publish("3");
  const PollAnswer answer(served.get("/c", "Last-Event-ID: " + ids[1] + "\r\n"));
  CHECK(answer.ids == Texts{third});
}

TEST_CASE("If-None-Match is no cursor of a stream", "[scenario][WIRE-1]") {
  Served<Sse> served({}, {}, {.start = DefaultStart::latest});
  served.start();
  const auto ids = served.publish_many(2);
  auto stream = served.connect();
  stream.send(request_text("GET", "/c", "If-None-Match: \"" + ids[0] + "\"\r\n"));
  CHECK(stream.read_head().status == 200);
  CHECK(stream.read_chunk().find("id: " + ids[1] + "\n") != std::string::npos);
  for (const std::string text : {"3", "4"}) {
    const auto id = served.publish(text);
    CHECK(stream.read_chunk() == "id: " + id + "\ndata: " + text + "\n\n");
  }
}
