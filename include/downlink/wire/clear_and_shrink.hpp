#pragma once

#include <cstddef>
#include <string>

namespace downlink::wire::detail {

/// Empties a text and gives its memory back, which assigning an empty one would keep; at most `kept` bytes are left to
/// it.
inline void clear_and_shrink(std::string& text, std::size_t kept = 0) noexcept {
  text.clear();
  if (text.capacity() > kept) std::string().swap(text);
}

}  // namespace downlink::wire::detail
