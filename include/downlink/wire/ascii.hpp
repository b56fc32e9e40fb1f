#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// Bytes in, values out: HTTP, Server-Sent Events, WebSocket and what they are made of, without sockets, clocks or
/// channels. The transports are built of it, and those of an application's own may be. Nothing in it has thread
/// affinity; a value is used by one thread at a time.
namespace downlink::wire {

namespace detail {

/// A set of characters, looked up in one step.
class CharacterSet {
 public:
  constexpr explicit CharacterSet(std::string_view members) {
    for (const char c : members) has_[static_cast<unsigned char>(c)] = true;
  }
  /// Letters and digits too.
  constexpr CharacterSet with_alphanumerics() const {
    CharacterSet set = *this;
    for (unsigned char c = '0'; c <= '9'; ++c) set.has_[c] = true;
    for (unsigned char c = 'a'; c <= 'z'; ++c) set.has_[c] = set.has_[c - 'a' + 'A'] = true;
    return set;
  }
  constexpr bool has(char c) const noexcept { return has_[static_cast<unsigned char>(c)]; }
  constexpr bool has_all_of(std::string_view text) const noexcept {
    for (const char c : text) {
      if (!has(c)) return false;
    }
    return true;
  }

 private:
  std::array<bool, 256> has_{};
};

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
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
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
