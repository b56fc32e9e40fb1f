#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "downlink/wire/base64.hpp"
#include "downlink/wire/sha1.hpp"

namespace downlink::wire {

/// Whether this may be a `Sec-WebSocket-Key`: the base64 form of 16 bytes (RFC 6455 §4.1). The four bits of the last
/// digit that stand for nothing may be any, as other servers have it.
inline bool valid_websocket_key(std::string_view key) noexcept {
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.end() - 2, [](char c) { return detail::base64_value(c) != detail::not_base64; });
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
inline std::string websocket_accept(std::string_view key) {
  std::string text{key};
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const auto digest = sha1(text);
  text.clear();
  append_base64(text, {reinterpret_cast<const char*>(digest.data()), digest.size()});
  return text;
}

}  // namespace downlink::wire
