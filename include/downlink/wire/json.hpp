#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "downlink/wire/base64.hpp"
#include "downlink/wire/message_view.hpp"

namespace downlink::wire {

namespace detail {

constexpr bool plain_in_json(char c) noexcept { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\'; }

/// Whether all eight bytes stand for themselves in a JSON string. A subtraction borrows out of a byte only where a
/// byte has been found already, so the answer for all of them is exact.
constexpr bool eight_plain_in_json(std::uint64_t eight) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  constexpr std::uint64_t tops = 0x8080808080808080u;
  const std::uint64_t quote = eight ^ (ones * '"');
  const std::uint64_t backslash = eight ^ (ones * '\\');
  const std::uint64_t found =
      ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
  return (found & tops) == 0;
}

/// The length of the run at the front that stands for itself in a JSON string.
inline std::size_t plain_json_run(std::string_view text) noexcept {
  std::size_t at = 0;
  while (text.size() - at >= 8) {
    std::uint64_t eight;
    std::memcpy(&eight, text.data() + at, 8);
    if (!eight_plain_in_json(eight)) break;
    at += 8;
  }
  while (at < text.size() && plain_in_json(text[at])) ++at;
  return at;
}

inline void append_json_escape(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  constexpr std::string_view digits = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(c);
  out += "\\u00";
  out += digits[value >> 4];
  out += digits[value & 0xF];
}

}  // namespace detail

/// Appends a text as a JSON string with its quotes (RFC 8259 §7). The text must be UTF-8 and stays so; only what
/// must be escaped is.
inline void append_json_string(std::string& out, std::string_view utf8) {
  out += '"';
  while (true) {
    const std::size_t run = detail::plain_json_run(utf8);
    out.append(utf8.data(), run);
    if (run == utf8.size()) break;
    detail::append_json_escape(out, utf8[run]);
    utf8.remove_prefix(run + 1);
  }
  out += '"';
}

/// Appends a message as an element of a poll answer's `messages` (WIRE §3) with a comma before it, so that encoded
/// messages may be joined anywhere; an answer leaves out the first comma.
inline void append_poll_message(std::string& out, const MessageView& message) {
  out += ",{\"id\":";
  append_json_string(out, message.id);
  if (!message.event.empty() && message.event != "message") {
    out += ",\"event\":";
    append_json_string(out, message.event);
  }
  out += ",\"data\":";
  if (message.binary) {
    out += '"';
    append_base64(out, message.data);
    out += "\",\"encoding\":\"base64\"}";
  } else {
    append_json_string(out, message.data);
    out += '}';
  }
}

}  // namespace downlink::wire
