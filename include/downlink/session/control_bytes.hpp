#pragma once

#include <cstddef>
#include <string>

namespace downlink::detail {

/// What goes to one peer alone, between messages.
struct ControlBytes {
  std::string bytes;
  std::size_t sent = 0;

  std::size_t waiting() const { return bytes.size() - sent; }
  /// Or a peer that always leaves something would have all of it kept.
  void drop_sent() {
    if (sent < bytes.size() / 2) return;
    bytes.erase(0, sent);
    sent = 0;
  }
};

}  // namespace downlink::detail
