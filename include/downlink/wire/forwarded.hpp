#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink::wire {

/// The value of a parameter in one element of `Forwarded` (RFC 7239 §4), without quotes; empty where it has none.
inline std::string_view forwarded_value(std::string_view element, std::string_view name) {
  while (!element.empty()) {
    const auto pair = element.substr(0, element.find(';'));
    element.remove_prefix(std::min(pair.size() + 1, element.size()));
    const auto equals = pair.find('=');
    if (equals == pair.npos || !iequals(trim(pair.substr(0, equals)), name)) continue;
    const auto value = trim(pair.substr(equals + 1));
    const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    return quoted ? value.substr(1, value.size() - 2) : value;
  }
  return {};
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
  for_each_list_item(head.header_list("Forwarded"), [&](std::string_view element) {
    named.forwarded.emplace_back(node_host(forwarded_value(element, "for")));
  });
  for_each_list_item(head.header_list("X-Forwarded-For"),
                     [&](std::string_view node) { named.x_forwarded_for.emplace_back(node_host(node)); });
  return named;
}

}  // namespace downlink::wire
