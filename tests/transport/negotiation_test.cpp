#include "downlink/transport/negotiation.hpp"

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace downlink;
using namespace std::chrono_literals;
using Kinds = std::vector<TransportKind>;

namespace {

constexpr auto ws = TransportKind::websocket;
constexpr auto sse = TransportKind::sse;
constexpr auto lp = TransportKind::long_polling;
constexpr auto sp = TransportKind::short_polling;
constexpr auto own = TransportKind::custom;

using Headers = std::initializer_list<std::pair<std::string_view, std::string_view>>;

RequestHead request(std::string_view target, Headers headers = {}) {
  RequestHead head{"GET", target};
  for (const auto& [name, value] : headers) head.add_header(name, value);
  return head;
}

RequestHead upgrade(Headers headers = {}) {
  auto head = request("/", headers);
  head.add_header("Connection", "Upgrade");
  head.add_header("Upgrade", "websocket");
  return head;
}

const RequestHead plain = request("/");
const RequestHead stream = request("/", {{"Accept", "text/event-stream"}});
const RequestHead waiting = request("/?wait=5");
const RequestHead json = request("/", {{"Accept", "application/json"}});

/// The kind that serves the request, by name, or the status it is refused with.
std::string chosen(const RequestHead& head, const Kinds& offered) {
  const auto result = negotiate(head, offered);
  if (result.index < 0) return std::to_string(result.status);
  CHECK(result.status == 0);
  switch (offered.at(static_cast<std::size_t>(result.index))) {
    case ws:
      return "ws";
    case sse:
      return "sse";
    case lp:
      return "lp";
    case sp:
      return "sp";
    case own:
      return "own";
  }
  return "?";
}

}  // namespace

TEST_CASE("with all transports offered the request's row serves it, in whatever order they are offered",
          "[transport][WIRE-2]") {
  for (const Kinds& offered : {Kinds{ws, sse, lp, sp}, Kinds{sp, lp, sse, ws}}) {
    CHECK(chosen(upgrade(), offered) == "ws");
    CHECK(chosen(upgrade({{"Accept", "text/event-stream"}}), offered) == "ws");
    CHECK(chosen(stream, offered) == "sse");
    CHECK(chosen(request("/?wait=5", {{"Accept", "text/event-stream"}}), offered) == "sse");
    CHECK(chosen(waiting, offered) == "lp");
    CHECK(chosen(request("/", {{"Prefer", "wait=5"}}), offered) == "lp");
    CHECK(chosen(request("/?wait=0"), offered) == "sp");
    CHECK(chosen(request("/?wait=abc"), offered) == "sp");
    CHECK(chosen(request("/?wait=5", {{"Prefer", "wait=0"}}), offered) == "sp");
    CHECK(chosen(plain, offered) == "sp");
    CHECK(chosen(request("/", {{"Accept", "*/*"}}), offered) == "sp");
    CHECK(chosen(request("/", {{"Accept", "text/event-stream;q=0"}}), offered) == "sp");
  }
}

TEST_CASE("an endpoint with SSE alone streams to whom it admits", "[transport][WIRE-2]") {
  CHECK(chosen(plain, {sse}) == "sse");
  CHECK(chosen(stream, {sse}) == "sse");
  CHECK(chosen(request("/", {{"Accept", "*/*"}}), {sse}) == "sse");
  CHECK(chosen(waiting, {sse}) == "sse");
  CHECK(chosen(upgrade(), {sse}) == "sse");
  CHECK(chosen(json, {sse}) == "406");
  CHECK(chosen(request("/", {{"Accept", "*/*, text/event-stream;q=0"}}), {sse}) == "406");
}

TEST_CASE("an endpoint with WebSocket alone demands the upgrade", "[transport][WIRE-2]") {
  CHECK(chosen(upgrade(), {ws}) == "ws");
  CHECK(chosen(plain, {ws}) == "426");
  CHECK(chosen(stream, {ws}) == "426");
}

TEST_CASE("an endpoint with one polling transport serves everything", "[transport][WIRE-2]") {
  for (const auto kind : {lp, sp}) {
    CHECK(negotiate(plain, Kinds{kind}).index == 0);
    CHECK(negotiate(stream, Kinds{kind}).index == 0);
    CHECK(negotiate(waiting, Kinds{kind}).index == 0);
    CHECK(negotiate(upgrade(), Kinds{kind}).index == 0);
  }
}

TEST_CASE("where the request's row is not offered the next row down that is serves it", "[transport][WIRE-2]") {
  CHECK(chosen(upgrade(), {sse, lp, sp}) == "sse");
  CHECK(chosen(upgrade({{"Accept", "application/json"}}), {sse, sp}) == "sse");
  CHECK(chosen(upgrade(), {sp, lp}) == "lp");
  CHECK(chosen(stream, {ws, lp, sp}) == "lp");
  CHECK(chosen(stream, {ws, sp}) == "sp");
  CHECK(chosen(waiting, {ws, sse, sp}) == "sp");
}

TEST_CASE("where no row further down is offered SSE serves whom it admits, else long polling", "[transport][WIRE-2]") {
  CHECK(chosen(plain, {ws, sse, lp}) == "sse");
  CHECK(chosen(plain, {lp, sse}) == "sse");
  CHECK(chosen(json, {ws, sse, lp}) == "lp");
  CHECK(chosen(plain, {ws, lp}) == "lp");
  CHECK(chosen(waiting, {ws, sse}) == "sse");
}

TEST_CASE("where neither serves it the refusal is 406, or 426 if only WebSocket is left", "[transport][WIRE-2]") {
  CHECK(chosen(json, {ws, sse}) == "426");
  CHECK(chosen(json, {sse, own}) == "406");
  CHECK(chosen(plain, {ws, own}) == "426");
}

TEST_CASE("custom transports are asked first, in the order in which they are offered", "[transport][WIRE-2]") {
  const Kinds offered{ws, own, sp, own};
  std::vector<std::size_t> asked;
  const auto claimed_by = [&](std::size_t claimant) {
    asked.clear();
    return negotiate(upgrade(), offered,
                     [&](std::size_t index) {
                       asked.push_back(index);
                       return index == claimant;
                     })
        .index;
  };
  CHECK(claimed_by(1) == 1);
  CHECK(asked == std::vector<std::size_t>{1});
  CHECK(claimed_by(3) == 3);
  CHECK(asked == std::vector<std::size_t>{1, 3});
  CHECK(claimed_by(9) == 0);
}

TEST_CASE("a custom transport offered alone serves what it claims", "[transport][WIRE-2]") {
  CHECK(negotiate(plain, Kinds{own}, [](std::size_t) { return true; }).index == 0);
  CHECK(negotiate(plain, Kinds{own}, [](std::size_t) { return false; }).status == 406);
  CHECK(chosen(plain, {}) == "406");
}

TEST_CASE("Accept names a type itself and not with q=0", "[transport][RFC9110-12.5.1]") {
  const auto names = [](std::string_view accept) {
    return accept_names(request("/", {{"Accept", accept}}), "text/event-stream");
  };
  CHECK(names("text/event-stream"));
  CHECK(names("Text/Event-Stream; charset=utf-8"));
  CHECK(names("text/html, text/event-stream;q=0.1"));
  CHECK(names("text/event-stream;q=1.000"));
  CHECK_FALSE(names("text/event-stream;q=0"));
  CHECK_FALSE(names("text/event-stream;a=b; Q=0.000"));
  CHECK_FALSE(names("text/*, */*"));
  CHECK_FALSE(names("text/event-streams"));
  CHECK_FALSE(names(""));
  CHECK_FALSE(accept_names(plain, "text/event-stream"));
  CHECK(accept_names(request("/", {{"Accept", "a/b"}, {"Accept", "text/event-stream"}}), "text/event-stream"));
}

TEST_CASE("Accept admits a type by its most specific range", "[transport][RFC9110-12.5.1]") {
  const auto admits = [](std::string_view accept) {
    return accept_admits(request("/", {{"Accept", accept}}), "text/event-stream");
  };
  CHECK(accept_admits(plain, "text/event-stream"));
  CHECK(admits(""));
  CHECK(admits("*/*"));
  CHECK(admits("text/*"));
  CHECK(admits("text/event-stream"));
  CHECK(admits("*/*;q=0, text/*"));
  CHECK(admits("text/event-stream, text/event-stream;q=0"));
  CHECK(admits("text/event-stream;q=0.001, text/*;q=0"));
  CHECK_FALSE(admits("text/*, text/event-stream;q=0"));
  CHECK_FALSE(admits("text/event-stream;q=0, */*"));
  CHECK_FALSE(admits("*/*;q=0.0"));
  CHECK_FALSE(admits("*/*, text/*;q=0"));
  CHECK_FALSE(admits("text/html"));
  CHECK_FALSE(admits("application/*"));
}

TEST_CASE("Prefer asks for a wait in whole seconds", "[transport][RFC7240-4.3]") {
  const auto wait = [](std::string_view prefer) { return preferred_wait(request("/", {{"Prefer", prefer}})); };
  CHECK(wait("wait=10") == 10s);
  CHECK(wait("Wait = 10") == 10s);
  CHECK(wait("wait=\"10\"") == 10s);
  CHECK(wait("respond-async, wait=10") == 10s);
  CHECK(wait("wait=10; foo=bar") == 10s);
  CHECK(wait("wait=0") == 0s);
  CHECK(wait("wait=1, wait=2") == 1s);
  CHECK(wait("wait=99999999999999999999999") == 365 * 24h);
  CHECK_FALSE(wait("wait"));
  CHECK_FALSE(wait("wait="));
  CHECK_FALSE(wait("wait=x, wait=2"));
  CHECK_FALSE(wait("wait=1.5"));
  CHECK_FALSE(wait("wait=-1"));
  CHECK_FALSE(wait("foo; wait=10"));
  CHECK_FALSE(wait("foo=\"a, wait=5\""));
  CHECK_FALSE(wait("waiting=5"));
  CHECK(preferred_wait(request("/", {{"Prefer", "foo"}, {"Prefer", "wait=3"}})) == 3s);
  CHECK(has_wait_preference(request("/", {{"Prefer", "wait=0"}})));
  CHECK_FALSE(has_wait_preference(request("/?wait=1", {{"Prefer", "wait=x"}})));
}

TEST_CASE("a wait is that of Prefer, else that of the query, which may have a fraction", "[transport][WIRE-2]") {
  CHECK_FALSE(requested_wait(plain));
  CHECK(requested_wait(request("/?wait=2", {{"Prefer", "wait=1"}})) == 1s);
  CHECK(requested_wait(request("/?wait=2", {{"Prefer", "wait=x"}})) == 2s);
  CHECK(requested_wait(request("/?wait=1.5")) == 1500ms);
  CHECK(requested_wait(request("/?wait=0.25")) == 250ms);
  CHECK(requested_wait(request("/?wait=0.0001")) == 1ms);
  CHECK(requested_wait(request("/?wait=2.0000")) == 2s);
  CHECK(requested_wait(request("/?wait=0")) == 0s);
  for (const auto* text : {"", "x", "-1", "+1", ".5", "5.", "1.x", "1e3", "1.2.3", "%201", "1,5"}) {
    CAPTURE(text);
    CHECK_FALSE(requested_wait(request(std::string{"/?wait="} + text)));
  }
}
