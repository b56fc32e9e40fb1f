#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "downlink/wire/base64.hpp"
#include "downlink/wire/message_view.hpp"
#include "downlink/wire/utf8.hpp"

namespace downlink::wire {

namespace detail {

/// Appends one `data: ` line for each line of the payload. CR, LF and CRLF each end a line, as they do for the
/// client's parser, so what follows the last of them is a line too, be it empty.
inline void append_sse_data(std::string& out, std::string_view payload) {
  constexpr auto none = std::string_view::npos;
  std::size_t from = 0;
  std::size_t cr = payload.find('\r');
  std::size_t lf = payload.find('\n');
  while (true) {
    const std::size_t end = std::min({cr, lf, payload.size()});
    out += "data: ";
    out.append(payload.data() + from, end - from);
    out += '\n';
    if (end == payload.size()) return;
    from = end + (end == cr && lf == end + 1 ? 2 : 1);
    // Either is looked for again only when passed: each byte is searched once for each of the two.
    if (cr != none && cr < from) cr = payload.find('\r', from);
    if (lf != none && lf < from) lf = payload.find('\n', from);
  }
}

}  // namespace detail

/// Whether this may be the name of an event (WIRE §4). Such a one is UTF-8 without CR, LF and NUL, and neither begins
/// with `downlink.` nor ends with `;base64`. The empty name and `message` are those of the default event.
inline bool valid_event_name(std::string_view name) noexcept {
  constexpr std::string_view forbidden{"\r\n\0", 3};
  return !name.starts_with("downlink.") && !name.ends_with(";base64") &&
         name.find_first_of(forbidden) == std::string_view::npos && is_utf8(name);
}

/// Appends a message as one event of an event stream (WIRE §4; WHATWG HTML §9.2.5): `id` if it has one, `event`
/// unless it is the default one's, the payload's lines, a blank line. A binary payload is base64, which `;base64`
/// after the event's name says.
inline void append_sse_event(std::string& out, const MessageView& message) {
  if (!message.id.empty()) {
    out += "id: ";
    out += message.id;
    out += '\n';
  }
  const bool named = !message.event.empty() && message.event != "message";
  if (named || message.binary) {
    out += "event: ";
    out += named ? message.event : std::string_view{"message"};
    out += message.binary ? ";base64\n" : "\n";
  }
  if (message.binary) {
    out += "data: ";
    append_base64(out, message.data);
    out += '\n';
  } else {
    detail::append_sse_data(out, message.data);
  }
  out += '\n';
}

/// Appends a comment, which clients ignore: a heartbeat, or the stream's first bytes (WHATWG HTML §9.2.7). The text
/// must be one line.
inline void append_sse_comment(std::string& out, std::string_view text) {
  out += ": ";
  out += text;
  out += "\n\n";
}

/// Appends how long a client is to wait before it connects again (WHATWG HTML §9.2.6); less than nothing is nothing.
inline void append_sse_retry(std::string& out, std::chrono::milliseconds wait) {
  char digits[24];
  const auto count = std::max<std::chrono::milliseconds::rep>(wait.count(), 0);
  const auto written = std::to_chars(digits, digits + sizeof digits, count);
  out += "retry: ";
  out.append(digits, written.ptr);
  out += "\n\n";
}

}  // namespace downlink::wire
