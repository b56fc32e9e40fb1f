#pragma once

#include <downlink/transport/transport.hpp>
#include <downlink/wire/json.hpp>

namespace downlink {

/// Short polling: one request, one answer with what is there (WIRE §3).
struct ShortPolling {
  /// Its name in statistics.
  static constexpr std::string_view name = "short-polling";
  /// Which it is when requests are negotiated.
  static constexpr TransportKind kind = TransportKind::short_polling;
  /// Its answer has what is there.
  static constexpr ResponseEnd response_end = ResponseEnd::at_once;
};

/// Long polling: a request that finds nothing is held until a message comes or its wait is over (WIRE §3, RFC 6202).
struct LongPolling {
  /// Its name in statistics.
  static constexpr std::string_view name = "long-polling";
  /// Which it is when requests are negotiated.
  static constexpr TransportKind kind = TransportKind::long_polling;
  /// Its answer waits for the first messages, or until the wait is over.
  static constexpr ResponseEnd response_end = ResponseEnd::with_first_messages;
};

namespace detail {

/// The wire form of both: an element of the answer's `messages`, with a comma before it. An answer is a range of it
/// without the first comma.
struct PollElement {
  static void encode(std::string& out, const MessageView& message) { wire::append_poll_message(out, message); }
};

/// What one poll answers at most (WIRE §3).
inline constexpr ReadLimits poll_limits{
    .bytes = std::size_t{1} << 20, .messages = 1000, .pieces = ReadLimits::most_pieces};

}  // namespace detail
}  // namespace downlink
