#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace downlink::wire {

/// What ends a chunked body that has no trailers (RFC 9112 §7.1).
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

/// Appends what `encode(out)` appends as one chunk of a chunked body (RFC 9112 §7.1), or nothing when that is nothing,
/// because an empty chunk would end the body. `encode` may only append. When it throws, `out` ends in an unfinished
/// chunk.
template <class Encode>
void append_chunk(std::string& out, Encode&& encode) {
  // The content goes behind a gap for a size of three digits, which fits 256 to 4095 bytes; another size moves it.
  constexpr std::string_view gap = "000\r\n";
  const std::size_t start = out.size();
  out += gap;
  std::forward<Encode>(encode)(out);
  const std::size_t size = out.size() - start - gap.size();
  if (size == 0) {
    out.resize(start);
    return;
  }
  char head[sizeof(std::size_t) * 2 + 2];
  char* end = std::to_chars(head, head + sizeof head - 2, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.replace(start, gap.size(), head, static_cast<std::size_t>(end - head));
  out += "\r\n";
}

}  // namespace downlink::wire
