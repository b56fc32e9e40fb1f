#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink::wire {

namespace detail {

/// Takes off a text what stands behind its last separator, or all of it. With `quotes` none in a quoted-string
/// (RFC 9110 §5.6.4) separates. Read from the end, as that is a proxy's own and well-formed: a quote that its client
/// left open before can't hide it.
inline std::string_view take_last(std::string_view& text, char separator, bool quotes) {
  bool quoted = false;
  for (std::size_t i = text.size(); i > 0; --i) {
    const char c = text[i - 1];
    if (c == '"' && quotes) {
      const auto before = text.substr(0, i - 1);
      const auto backslashes = before.size() - (before.find_last_not_of('\\') + 1);
      if (!quoted || backslashes % 2 == 0) quoted = !quoted;
    } else if (c == separator && !quoted) {
      const auto last = text.substr(i);
      text = text.substr(0, i - 1);
      return last;
    }
  }
  return std::exchange(text, {});
}

/// The elements of all header lines of that name, the nearest proxy's last; each line by itself.
inline std::vector<std::string_view> elements_of(const RequestHead& head, std::string_view name, bool quotes) {
  std::vector<std::string_view> elements;
  for (const auto field : head.headers()) {
    if (!iequals(field.name, name)) continue;
    const auto before = static_cast<std::ptrdiff_t>(elements.size());
    for (auto line = field.value; !line.empty();) {
      if (const auto element = trim(take_last(line, ',', quotes)); !element.empty()) elements.push_back(element);
    }
    std::reverse(elements.begin() + before, elements.end());
  }
  return elements;
}

}  // namespace detail

/// The elements of `Forwarded` (RFC 7239 §4), the nearest proxy's last. They view into the head.
inline std::vector<std::string_view> forwarded_elements(const RequestHead& head) {
  return detail::elements_of(head, "Forwarded", true);
}

/// The value of a parameter in one element of `Forwarded` (RFC 7239 §4), without quotes; empty where it has none.
inline std::string_view forwarded_value(std::string_view element, std::string_view name) {
  std::string_view found;
  while (!element.empty()) {
    const auto pair = detail::take_last(element, ';', true);
    const auto equals = pair.find('=');
    if (equals == pair.npos || !iequals(trim(pair.substr(0, equals)), name)) continue;
    const auto value = trim(pair.substr(equals + 1));
    const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    found = quoted ? value.substr(1, value.size() - 2) : value;
  }
  return found;
}

/// The host of a node identifier (RFC 7239 §6): an address without its port and brackets, or whatever hides one.
inline std::string_view node_host(std::string_view node) {
  if (node.starts_with('[')) return node.substr(1, std::min(node.find(']'), node.size()) - 1);
  const auto colon = node.find(':');
  return colon == node.rfind(':') ? node.substr(0, colon) : node;  // more than one: a bare IPv6 address
}

/// Whom the proxies on the way name as their clients, the nearest proxy's last.
struct ForwardedFor {
  std::vector<std::string> forwarded = {};        ///< by `Forwarded` (RFC 7239 §5.2)
  std::vector<std::string> x_forwarded_for = {};  ///< by `X-Forwarded-For`
};

/// Whom a request's headers name. Anybody can write them: to be believed only from proxies that are trusted.
inline ForwardedFor forwarded_for(const RequestHead& head) {
  ForwardedFor named;
  for (const auto element : forwarded_elements(head)) {
    named.forwarded.emplace_back(node_host(forwarded_value(element, "for")));
  }
  // Which has no quoted-strings.
  for (const auto node : detail::elements_of(head, "X-Forwarded-For", false)) {
    named.x_forwarded_for.emplace_back(node_host(node));
  }
  return named;
}

}  // namespace downlink::wire
