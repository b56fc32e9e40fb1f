#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <downlink/error.hpp>
#include <downlink/wire/sse.hpp>
#include <downlink/wire/utf8.hpp>

namespace downlink {

/// What an application publishes: plain values, kept unchanged in the log.
struct Message {
  /// The payload. Text must be UTF-8 unless `binary` is set.
  std::string data = {};
  /// The event's name; empty or `message` is the default event. UTF-8 without CR, LF and NUL (WIRE §4).
  std::string event = {};
  /// Whether the payload is bytes rather than text: a binary WebSocket frame, base64 over SSE and polling.
  bool binary = false;
  /// A newer message of the same key supersedes this one: only the newest of a key is replayed (conflation).
  std::optional<std::string> key = {};
  /// How long after publishing the message is still delivered; none means as long as the log keeps it.
  std::optional<std::chrono::milliseconds> time_to_live = {};
};

/// Names one message of one incarnation of a channel's log (WIRE §1). Offsets are dense and begin at 1; offset 0 is
/// the position before the first message.
struct MessageId {
  /// The incarnation of the log that the offset counts in.
  std::uint64_t epoch = 0;
  /// The message's place in that incarnation.
  std::uint64_t offset = 0;

  /// Whether both name the same message.
  friend bool operator==(const MessageId&, const MessageId&) = default;

  /// `<epoch in base 36>-<offset>`: at most 34 characters of `[a-z0-9-]`.
  std::string to_string() const {
    char text[40];
    char* end = std::to_chars(text, text + 16, epoch, 36).ptr;
    *end++ = '-';
    end = std::to_chars(end, text + sizeof text, offset).ptr;
    return std::string(text, end);
  }

  /// The inverse of `to_string`; nothing for any text that `to_string` would not have made.
  static std::optional<MessageId> parse(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos || text.size() > 40) return std::nullopt;
    MessageId id;
    const char* begin = text.data();
    const char* end = begin + text.size();
    if (std::from_chars(begin, begin + dash, id.epoch, 36).ptr != begin + dash) return std::nullopt;
    if (std::from_chars(begin + dash + 1, end, id.offset).ptr != end) return std::nullopt;
    if (id.to_string() != text) return std::nullopt;
    return id;
  }
};

namespace detail {

/// What the wire asks of every message, published or sent to one peer: an event name that is allowed, and text that is
/// UTF-8.
inline error_code check_message(const Message& message) {
  if (!wire::valid_event_name(message.event)) return errc::bad_event_name;
  if (!message.binary && !wire::is_utf8(message.data)) return errc::not_utf8;
  return {};
}

}  // namespace detail
}  // namespace downlink
