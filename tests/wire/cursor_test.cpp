#include "downlink/wire/cursor.hpp"

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"

using namespace downlink;
using Kind = StartRequest::Kind;

namespace {

RequestHead request(std::string_view target,
                    std::initializer_list<std::pair<std::string_view, std::string_view>> headers = {}) {
  RequestHead head{"GET", target};
  for (const auto& [name, value] : headers) head.add_header(name, value);
  return head;
}

/// The start in short: the cursor itself, `history N`, or the kind.
std::string start(const RequestHead& head, bool polling = true) {
  const auto found = requested_start(head, polling);
  switch (found.kind) {
    case Kind::none:
      return "none";
    case Kind::cursor:
      return found.cursor;
    case Kind::earliest:
      return "(earliest)";
    case Kind::latest:
      return "(latest)";
    case Kind::history:
      return "history " + std::to_string(found.history);
    case Kind::invalid:
      return "invalid";
  }
  return "?";
}

}  // namespace

TEST_CASE("a request that says nothing starts at the endpoint's default", "[wire][WIRE-1]") {
  CHECK(start(request("/")) == "none");
  CHECK(start(request("/?other=1")) == "none");
}

TEST_CASE("of several cursors the first in the contract's order wins", "[wire][WIRE-1]") {
  CHECK(start(request("/?lastEventId=d&last_event_id=c&cursor=b&history=9",
                      {{"If-None-Match", "\"e\""}, {"Last-Event-ID", "a"}})) == "a");
  CHECK(start(request("/?lastEventId=d&last_event_id=c&cursor=b&history=9", {{"If-None-Match", "\"e\""}})) == "b");
  CHECK(start(request("/?lastEventId=d&last_event_id=c", {{"If-None-Match", "\"e\""}})) == "c");
  CHECK(start(request("/?lastEventId=d", {{"If-None-Match", "\"e\""}})) == "d");
  CHECK(start(request("/?history=9", {{"If-None-Match", "\"e\""}})) == "e");
  CHECK(start(request("/?history=9")) == "history 9");
}

TEST_CASE("an empty cursor counts as not given", "[wire][WIRE-1]") {
  CHECK(start(request("/?cursor=&last_event_id=&lastEventId=x", {{"Last-Event-ID", ""}})) == "x");
  CHECK(start(request("/?cursor=", {{"Last-Event-ID", ""}})) == "none");
  CHECK(start(request("/?cursor=&cursor=x")) == "x");
  CHECK(start(request("/?cursor=y", {{"Last-Event-ID", ""}, {"Last-Event-ID", "x"}})) == "x");
  CHECK(start(request("/?cursor")) == "none");
}

TEST_CASE("earliest and latest stand in a cursor's place", "[wire][WIRE-1]") {
  CHECK(start(request("/?cursor=earliest")) == "(earliest)");
  CHECK(start(request("/", {{"Last-Event-ID", "latest"}})) == "(latest)");
  CHECK(start(request("/?cursor=EARLIEST")) == "EARLIEST");
}

TEST_CASE("a cursor of other than 1 to 64 plain characters is invalid", "[wire][WIRE-1]") {
  const std::string longest(64, 'a');
  CHECK(start(request("/?cursor=" + longest)) == longest);
  CHECK(start(request("/?cursor=" + longest + "a")) == "invalid");
  CHECK(start(request("/?cursor=aZ09._-")) == "aZ09._-");
  CHECK(start(request("/?cursor=a+b")) == "invalid");
  CHECK(start(request("/?cursor=a%00")) == "invalid");
  CHECK(start(request("/?cursor=%C3%A9")) == "invalid");
  CHECK(start(request("/?cursor=good", {{"Last-Event-ID", "b,d"}})) == "invalid");
}

TEST_CASE("If-None-Match is a cursor for polling alone", "[wire][WIRE-1]") {
  const auto head = request("/", {{"If-None-Match", "\"e-1\""}});
  CHECK(start(head, true) == "e-1");
  CHECK(start(head, false) == "none");
}

TEST_CASE("If-None-Match is compared weakly", "[wire][WIRE-3][RFC9110-13.1.2]") {
  CHECK(if_none_match_id(request("/", {{"If-None-Match", "W/\"e-1\""}})) == "e-1");
  CHECK(if_none_match_id(request("/", {{"If-None-Match", "\"e-1\""}})) == "e-1");
}

TEST_CASE("a tag that is no id, a list or an asterisk counts as not given and is never invalid", "[wire][WIRE-3]") {
  for (const auto* tag : {"*", "\"a\", \"b\"", "e-1", "\"\"", "\"a b\"", "w/\"a\"", "\"", "\"earliest\"", "\"latest\"",
                          "", "W/", "\"a"}) {
    CAPTURE(tag);
    CHECK_FALSE(if_none_match_id(request("/", {{"If-None-Match", tag}})));
    CHECK(start(request("/?history=2", {{"If-None-Match", tag}})) == "history 2");
  }
  CHECK_FALSE(if_none_match_id(request("/", {{"If-None-Match", "\"a\""}, {"If-None-Match", "\"b\""}})));
  CHECK_FALSE(if_none_match_id(request("/")));
}

TEST_CASE("a history that is no number is invalid unless a cursor wins over it", "[wire][WIRE-1]") {
  for (const auto* query : {"x", "-1", "1.5", "", "+1", "%201"}) {
    CAPTURE(query);
    CHECK(start(request(std::string{"/?history="} + query)) == "invalid");
    CHECK(start(request(std::string{"/?cursor=a&history="} + query)) == "a");
  }
  CHECK(start(request("/?history=0")) == "history 0");
  CHECK(requested_start(request("/?history=99999999999999999999999"), false).history ==
        std::numeric_limits<std::uint64_t>::max());
}
