#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "downlink/wire/ascii.hpp"

/// \file
/// The lines of a request's head and of chunked framing, character by character.

namespace downlink::wire::detail {

/// The characters of a token (RFC 9110 §5.6.2).
inline constexpr CharacterSet token_characters = CharacterSet{"!#$%&'*+-.^_`|~"}.with_alphanumerics();
constexpr bool is_token_character(char c) noexcept { return token_characters.has(c); }

inline bool is_token(std::string_view text) noexcept { return !text.empty() && token_characters.has_all_of(text); }

/// What may stand in a line of a head or of chunked framing: no control characters but the tab (RFC 9110 §5.5).
inline constexpr auto line_characters = [] {
  std::array<bool, 256> allowed{};
  for (std::size_t c = 0; c < allowed.size(); ++c) allowed[c] = (c >= 0x20 && c != 0x7F) || c == '\t';
  return allowed;
}();

enum class LineScan : unsigned char { partial, whole, bad, too_long };

/// Takes one line's bytes, or those of it that have come, up to and with its CRLF (RFC 9112 §2.2: a CR or LF alone is
/// not taken). `after_cr` tells that the line's CR came before. At most `room` bytes are taken beside the CRLF. The
/// outcome depends on the bytes alone and not on how they are cut.
inline std::pair<std::size_t, LineScan> scan_line(std::string_view bytes, bool after_cr, std::size_t room) noexcept {
  std::size_t at = 0;
  if (!after_cr) {
    const auto allowed = [&] { return line_characters[static_cast<unsigned char>(bytes[at])]; };
    const std::size_t end = std::min(bytes.size(), room);
    while (at < end && allowed()) ++at;
    if (at == bytes.size()) return {at, LineScan::partial};
    if (allowed()) return {at, LineScan::too_long};
    if (bytes[at] != '\r') return {at, LineScan::bad};
    if (++at == bytes.size()) return {at, LineScan::partial};
  }
  return bytes[at] == '\n' ? std::pair{at + 1, LineScan::whole} : std::pair{at, LineScan::bad};
}

/// Whether what stands after a chunk's size are chunk extensions (RFC 9112 §7.1.1).
inline bool valid_chunk_extensions(std::string_view text) noexcept {
  const auto skip = [&text](auto&& wanted) {
    std::size_t n = 0;
    while (n < text.size() && wanted(text[n])) ++n;
    text.remove_prefix(n);
    return n;
  };
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  const auto take = [&text](char c) {
    const bool there = text.starts_with(c);
    if (there) text.remove_prefix(1);
    return there;
  };
  while (!text.empty()) {
    skip(space);
    if (!take(';')) return false;
    skip(space);
    if (skip(is_token_character) == 0) return false;
    const auto after_name = text;
    skip(space);
    if (!take('=')) {
      text = after_name;
      continue;
    }
    skip(space);
    if (!take('"')) {
      if (skip(is_token_character) == 0) return false;
      continue;
    }
    while (!text.empty() && !text.starts_with('"'))
      text.remove_prefix(text.starts_with('\\') && text.size() > 1 ? 2 : 1);
    if (!take('"')) return false;
  }
  return true;
}

}  // namespace downlink::wire::detail
