#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace downlink::wire {

namespace detail {

constexpr char ascii_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace detail

/// Whether two texts are the same but for the case of ASCII letters, as field names and most tokens are
/// compared (RFC 9110 §5.1).
inline bool iequals(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return detail::ascii_lower(x) == detail::ascii_lower(y); });
}

/// The text without optional whitespace, spaces and tabs, at both ends (RFC 9110 §5.6.3).
inline std::string_view trim(std::string_view text) noexcept {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Calls `f` with each element of a comma-separated list, trimmed, empty ones passed over (RFC 9110 §5.6.1).
/// A comma within a quoted-string (§5.6.4) does not separate; a quoted-string left open reaches to the end.
template <class F>
void for_each_list_item(std::string_view list, F&& f) {
  std::size_t begin = 0;
  bool quoted = false;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size()) {
      if (list[i] == '"') quoted = !quoted;
      if (quoted && list[i] == '\\' && i + 1 < list.size()) ++i;
      if (quoted || list[i] != ',') continue;
    }
    if (const auto item = trim(list.substr(begin, i - begin)); !item.empty()) f(item);
    begin = i + 1;
  }
}

/// Whether a comma-separated list has this token as one of its elements, in any case (RFC 9110 §5.6.1), such as
/// `upgrade` in `Connection: keep-alive, Upgrade`.
inline bool list_has_token(std::string_view list, std::string_view token) {
  bool found = false;
  for_each_list_item(list, [&](std::string_view item) { found = found || iequals(item, token); });
  return found;
}

/// The value of a decimal number: 1 to 19 digits and nothing else (RFC 9110 §8.6), which always fit.
inline std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept {
  if (text.empty() || text.size() > 19) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

}  // namespace downlink::wire
