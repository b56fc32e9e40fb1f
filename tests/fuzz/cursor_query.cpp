// What a request asks for, by its target and headers. The input's lines: a route's pattern, the target, then headers.

#include <downlink/channel/message.hpp>
#include <downlink/net/trusted_proxies.hpp>
#include <downlink/route/cors.hpp>
#include <downlink/route/pattern.hpp>
#include <downlink/transport/negotiation.hpp>
#include <downlink/wire/cursor.hpp>
#include <downlink/wire/query.hpp>

#include <charconv>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz/fuzz.hpp"

using namespace downlink;
using namespace downlink::fuzz;

namespace {

std::string percent_encode(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const unsigned byte = static_cast<unsigned char>(c);
    out += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

void decoding(std::string_view text) {
  check(wire::form_decode(percent_encode(text)) == text, "form decoding does not undo encoding");
  check(wire::percent_decode_path(percent_encode(text)) == text, "path decoding does not undo encoding");
  check(wire::form_decode(text).size() <= text.size(), "decoding makes more of it");
  if (const auto path = wire::percent_decode_path(text)) {
    std::string spaces(text);
    std::replace(spaces.begin(), spaces.end(), '+', ' ');
    if (text.find('+') == text.npos) check(wire::form_decode(text) == *path, "two ways to decode");
  }
  const auto query = "x=1&a" + percent_encode(text) + "=" + percent_encode(text) + "&a" + percent_encode(text) + "=2";
  check(wire::query_value(query, "a" + std::string(text)) == text, "a query's value");
  check(!wire::query_value(query, "b" + std::string(text)), "a query's value that is not there");
}

void ids(std::string_view text) {
  if (const auto id = MessageId::parse(text)) {
    check(id->to_string() == text && wire::is_cursor_text(text), "an id that is printed otherwise");
  }
  MessageId id;
  std::memcpy(&id, text.data(), std::min(text.size(), sizeof id));
  check(MessageId::parse(id.to_string()) == id && wire::is_cursor_text(id.to_string()), "an id does not come back");
}

void start(const RequestHead& head) {
  using Kind = StartRequest::Kind;
  for (const bool polling : {false, true}) {
    const auto start = requested_start(head, polling);
    check((start.kind == Kind::cursor) == !start.cursor.empty(), "a cursor without its text");
    if (start.kind == Kind::cursor) check(wire::is_cursor_text(start.cursor), "a cursor that may not be one");
    if (start.kind == Kind::cursor) check(start.cursor != "earliest" && start.cursor != "latest", "no id");
    if (start.history > 0) check(start.kind == Kind::history, "a history that is not asked for");
    if (start.kind == Kind::none) {
      check(!head.query_value("history"), "the history is passed over");
      check(head.query_value("cursor").value_or("").empty(), "the cursor is passed over");
    }
  }
  if (const auto id = if_none_match_id(head)) check(wire::is_cursor_text(*id), "If-None-Match");
}

void negotiation(const RequestHead& head) {
  using Kind = TransportKind;
  constexpr Kind all[] = {Kind::websocket, Kind::sse, Kind::long_polling, Kind::short_polling};
  const bool names = accept_names(head, "text/event-stream");
  const bool admits = accept_admits(head, "text/event-stream");
  check(admits || !names, "named and not admitted");
  const auto wait = requested_wait(head);
  check(!wait || (wait->count() >= 0 && wait->count() <= 366LL * 24 * 3600 * 1000), "a wait without a bound");
  check(!has_wait_preference(head) || wait, "a preferred wait that is none");
  for (unsigned set = 1; set < 16; ++set) {
    std::vector<Kind> offered;
    for (unsigned i = 0; i < 4; ++i) {
      if (set >> i & 1u) offered.push_back(all[i]);
    }
    const auto chosen = negotiate(head, offered);
    check(chosen.index < static_cast<int>(offered.size()), "a transport that is not offered");
    check(chosen.index >= 0 ? chosen.status == 0 : chosen.status == 406 || chosen.status == 426, "the status");
    if (chosen.index < 0) continue;
    const auto kind = offered[static_cast<std::size_t>(chosen.index)];
    if (kind == Kind::websocket) check(head.is_websocket_upgrade(), "WebSocket for who did not ask");
    // An upgrade where WebSocket is not offered goes to the next row whatever its `Accept` (WIRE §2).
    if (kind == Kind::sse && !head.is_websocket_upgrade()) check(admits, "an event stream for who does not admit it");
    if (set == 15 && !head.is_websocket_upgrade()) {
      check((kind == Kind::sse) == names, "all offered: the event stream");
      if (!names) check((kind == Kind::long_polling) == (wait && wait->count() > 0), "all offered: polling");
    }
  }
}

void route(std::string_view pattern_text, const RequestHead& head) {
  try {
    const Pattern pattern(pattern_text);
    RouteParameters parameters;
    const auto outcome = pattern.match(head.path(), parameters);
    check(outcome == PatternMatch::yes || parameters.empty(), "parameters without a match");
    if (pattern_text.find_first_of("{}%") == pattern_text.npos) {
      check(pattern.match(pattern_text, parameters) == PatternMatch::yes, "a pattern's own path");
      check(pattern.match(std::string(pattern_text) + "/", parameters) == PatternMatch::no, "a longer path");
    }
  } catch (const std::invalid_argument& error) {
    check(std::string_view(error.what()).starts_with("the route pattern"), "a refusal without a sentence");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return -1;
  Input input(data, size);
  const auto pattern = input.until('\n');
  const auto target = input.until('\n');
  decoding(pattern);
  ids(pattern);
  ids(target);

  RequestHead head("GET", target);
  while (!input.empty()) {
    const auto line = input.until('\n');
    const auto name = line.substr(0, line.find(':'));
    head.add_header(name, line.substr(std::min(name.size() + 1, line.size())));
  }
  check(head.path().size() + head.query().size() <= target.size() + 1, "a target longer than itself");
  start(head);
  negotiation(head);
  route(pattern, head);
  static const CorsOptions cors{.allowed_origins = {"https://a.example"}};
  judge_origin(head, cors, true);
  judge_origin(head, cors, false);
  static const detail::TrustedProxies proxies({"127.0.0.0/8"});
  proxies.client(head, "127.0.0.1");
  // Whatever its client sends, what a proxy adds to it is heard.
  for (const auto* value : {"192.0.2.9", "for=\"192.0.2.9\""}) {
    RequestHead added("GET", "/");
    added.add_header(*value == 'f' ? "Forwarded" : "X-Forwarded-For", std::string(pattern) + ", " + value);
    check(proxies.client(added, "127.0.0.1").address == "192.0.2.9", "a proxy's client");
  }
  return 0;
}
