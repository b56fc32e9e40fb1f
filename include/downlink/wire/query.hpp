#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace downlink::wire {

namespace detail {

/// The value of a hexadecimal digit, or -1.
constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The byte that the `%XX` at `at` stands for, or -1 when none is there (RFC 3986 §2.1).
constexpr int percent_byte(std::string_view text, std::size_t at) noexcept {
  if (text.size() - at < 3 || text[at] != '%') return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// Whether a name or value of a query is another when it is decoded, or may be.
constexpr bool is_form_encoded(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), [](char c) { return c == '%' || c == '+'; });
}

}  // namespace detail

/// The value of one name or value of a query: `+` is a space, and a `%` without two hexadecimal digits after it
/// stands for itself (WHATWG URL §5.1, application/x-www-form-urlencoded). The result need not be UTF-8.
inline std::string form_decode(std::string_view text) {
  if (!detail::is_form_encoded(text)) return std::string{text};
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const int byte = detail::percent_byte(text, i); byte >= 0) {
      decoded.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      decoded.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return decoded;
}

/// The value of a path or of a part of it (RFC 3986 §2.1), or nothing when a `%` is not followed by two
/// hexadecimal digits. `+` stands for itself. The result need not be UTF-8, and may hold `/` and NUL.
inline std::optional<std::string> percent_decode_path(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const int byte = detail::percent_byte(text, i);
    if (byte < 0) return std::nullopt;
    decoded.push_back(static_cast<char>(byte));
    i += 2;
  }
  return decoded;
}

/// The decoded value of the first parameter of that name in a query without its `?` (WHATWG URL §5.1), or of the first
/// of at least so many bytes before decoding. Names are compared decoded; one without `=` has an empty value.
inline std::optional<std::string> query_value(std::string_view query, std::string_view name, std::size_t least = 0) {
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(pair.size() == query.size() ? pair.size() : pair.size() + 1);
    if (pair.empty()) continue;
    const auto key = pair.substr(0, pair.find('='));
    if (detail::is_form_encoded(key) ? form_decode(key) != name : key != name) continue;
    const auto value = pair.substr(std::min(key.size() + 1, pair.size()));
    if (value.size() >= least) return form_decode(value);
  }
  return std::nullopt;
}

}  // namespace downlink::wire
