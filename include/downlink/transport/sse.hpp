#pragma once

#include <downlink/transport/transport.hpp>
#include <downlink/wire/json.hpp>
#include <downlink/wire/sse.hpp>

namespace downlink {

namespace detail {

/// The data of a `downlink.gap` event (WIRE §4).
inline std::string gap_json(const GapNotice& notice) {
  std::string json = "{\"requested\":";
  wire::append_json_string(json, notice.requested);
  json += ",\"earliest\":";
  wire::append_json_string(json, notice.earliest);
  json += '}';
  return json;
}

}  // namespace detail

/// Server-Sent Events (WIRE §4; WHATWG HTML, "Server-sent events").
struct Sse {
  static constexpr std::string_view name = "sse";
  static constexpr TransportKind kind = TransportKind::sse;
  static constexpr std::string_view content_type = "text/event-stream";
  static constexpr std::string_view headers = "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n";

  static bool claims(const RequestHead& head) { return accept_names(head, content_type); }

  static void encode(std::string& out, const MessageView& message) { wire::append_sse_event(out, message); }

  static void open(std::string& out, const Opening& opening) {
    wire::append_sse_retry(out, opening.retry);
    wire::append_sse_comment(out, "open");
    wire::append_sse_event(out, {.id = opening.cursor, .event = "downlink.open"});
  }

  static void gap(std::string& out, const GapNotice& notice) {
    wire::append_sse_event(out, {.id = notice.cursor, .event = "downlink.gap", .data = detail::gap_json(notice)});
  }

  static void heartbeat(std::string& out) { wire::append_sse_comment(out, "heartbeat"); }

  static void end(std::string& out, const Ending& ending) {
    if (ending.retry.count() > 0) wire::append_sse_retry(out, ending.retry);
  }
};

}  // namespace downlink
