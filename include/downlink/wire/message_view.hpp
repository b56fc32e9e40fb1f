#pragma once

#include <string_view>

namespace downlink {

/// One message as the wire encoders see it: borrowed values, valid for the call alone.
struct MessageView {
  /// The message's id (WIRE §1); empty for a direct reply, which carries none.
  std::string_view id = {};
  /// The event's name; empty for the default event.
  std::string_view event = {};
  /// The payload, exactly.
  std::string_view data = {};
  /// Whether the payload is binary (a WebSocket binary frame, base64 elsewhere).
  bool binary = false;
};

}  // namespace downlink
