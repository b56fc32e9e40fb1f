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
  /// Its name in statistics.
  static constexpr std::string_view name = "sse";
  /// Which it is when requests are negotiated.
  static constexpr TransportKind kind = TransportKind::sse;
  /// What the response is, and a request's `Accept` names.
  static constexpr std::string_view content_type = "text/event-stream";
  /// Keeps proxies from storing, transforming and (nginx) buffering the stream.
  static constexpr std::string_view headers = "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n";

  /// Whether the request's `Accept` names it.
  static bool claims(const RequestHead& head) { return accept_names(head, content_type); }

  /// A message is one event; a binary payload is base64, which `;base64` behind the event's name says.
  static void encode(std::string& out, const MessageView& message) { wire::append_sse_event(out, message); }

  /// The stream begins with the time to reconnect, a comment that carries it past buffers, and `downlink.open` with the
  /// cursor.
  static void open(std::string& out, const Opening& opening) {
    wire::append_sse_retry(out, opening.retry);
    wire::append_sse_comment(out, "open");
    wire::append_sse_event(out, {.id = opening.cursor, .event = "downlink.open"});
  }

  /// A gap is the event `downlink.gap`, whose data tells what was asked for and what there is.
  static void gap(std::string& out, const GapNotice& notice) {
    wire::append_sse_event(out, {.id = notice.cursor, .event = "downlink.gap", .data = detail::gap_json(notice)});
  }

  /// A comment, which clients ignore (WHATWG HTML §9.2.7).
  static void heartbeat(std::string& out) { wire::append_sse_comment(out, "heartbeat"); }

  /// The stream ends with the time to wait before coming again, where there is one.
  static void end(std::string& out, const Ending& ending) {
    if (ending.retry.count() > 0) wire::append_sse_retry(out, ending.retry);
  }
};

}  // namespace downlink
