#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace downlink::fuzz {

/// Ends the run as a finding where what has to hold does not.
inline void check(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "finding: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

/// The input, taken from its front.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  /// The next byte; 0 past the end.
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto first = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }
  /// What comes before `mark`, which is taken too; all that is left where there is none.
  std::string_view until(char mark) {
    const auto taken = rest_.substr(0, rest_.find(mark));
    rest_.remove_prefix(std::min(taken.size() + 1, rest_.size()));
    return taken;
  }
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// How bytes are cut into pieces: not at all, after each, or anyhow, as a number of the input's decides.
class Cutter {
 public:
  static Cutter whole() { return Cutter(0, ~std::size_t{0}); }
  static Cutter single() { return Cutter(0, 1); }
  static Cutter any(unsigned seed) { return Cutter(seed * 2 + 1, 0); }

  std::size_t piece(std::size_t left) {
    std::size_t size = size_;
    if (size == 0) {
      state_ = state_ * 1664525u + 1013904223u;
      const std::uint32_t number = state_ >> 16;
      size = 1 + (number & 0x100u ? number & 7u : number & 127u);
    }
    return std::min(size, left);
  }

 private:
  Cutter(std::uint32_t state, std::size_t size) : state_(state), size_(size) {}
  std::uint32_t state_;
  std::size_t size_;
};

/// Whether a text is UTF-8, by what its characters come to (RFC 3629 §3): written otherwise than the library's.
inline bool decodes_as_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const unsigned first = static_cast<unsigned char>(text[i++]);
    if (first < 0x80) continue;
    const unsigned more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC0 || first > 0xF7 || text.size() - i < more) return false;
    std::uint32_t point = first & (0x3Fu >> more);
    for (unsigned n = 0; n < more; ++n) {
      const unsigned next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0u) != 0x80) return false;
      point = point << 6 | (next & 0x3Fu);
    }
    constexpr std::uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace downlink::fuzz
