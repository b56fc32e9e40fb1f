#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <downlink/error.hpp>
#include <downlink/transport/transport.hpp>

namespace downlink {

/// How much a log entry is to be heeded.
enum class LogLevel : std::uint8_t {
  /// The ordinary course of things, among them what clients do wrong.
  info,
  /// Clients suffer: they are turned away or dropped.
  warning,
  /// The application or the machine fails.
  error,
};

/// What a log entry tells of.
enum class LogEvent : std::uint8_t {
  /// A request was refused with `status`. Level `info`, from 500 on `warning`.
  request_refused,
  /// A handler of the application's threw; the text is the exception's. `error`.
  handler_failed,
  /// A connection could not be accepted, for `error`; accepting pauses. `error`.
  accept_failed,
  /// A stream was dropped, for `reason`: `too_slow` or `timed_out`. `warning`.
  stream_dropped,
  /// A WebSocket's peer broke the protocol, for `reason`: `protocol_error`, `not_utf8` or `too_big`. `info`.
  protocol_error,
  /// The server drains. `info`.
  drain_began,
  /// Draining is over. `info`.
  drain_ended,
};

/// The name of an event, such as `request_refused`.
constexpr std::string_view name_of(LogEvent event) noexcept {
  switch (event) {
    case LogEvent::request_refused:
      return "request_refused";
    case LogEvent::handler_failed:
      return "handler_failed";
    case LogEvent::accept_failed:
      return "accept_failed";
    case LogEvent::stream_dropped:
      return "stream_dropped";
    case LogEvent::protocol_error:
      return "protocol_error";
    case LogEvent::drain_began:
      return "drain_began";
    case LogEvent::drain_ended:
      return "drain_ended";
  }
  return "unknown";
}

/// One thing that happened, as `on_log` gets it.
struct LogEntry {
  /// How much it is to be heeded.
  LogLevel level = LogLevel::info;
  /// What happened; the fields below are those that belong to it.
  LogEvent event = LogEvent::request_refused;
  /// A few words. Those that are not the library's own are an exception's.
  std::string text = {};
  /// The other end's IP address; empty where there is none or it is gone.
  std::string remote_address = {};
  /// The path that was asked for, as it came but without the query, which may hold secrets; empty where there is none.
  /// A client chose its bytes: escape them.
  std::string path = {};
  /// The answer's status, 503 also for an event stream that is refused by a 200 that ends (WIRE §8); 0 for what is no
  /// request.
  int status = 0;
  /// Why a stream ended.
  std::optional<EndReason> reason = {};
  /// What the system said.
  error_code error = {};
};

}  // namespace downlink
