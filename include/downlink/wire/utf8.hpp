#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace downlink::wire {

namespace detail {

/// The first byte in [from, end) that is not ASCII, or `end`.
inline const char* skip_ascii(const char* from, const char* end) noexcept {
  while (end - from >= 8) {
    std::uint64_t eight;
    std::memcpy(&eight, from, 8);
    if ((eight & 0x8080808080808080u) != 0) break;
    from += 8;
  }
  while (from != end && static_cast<unsigned char>(*from) < 0x80) ++from;
  return from;
}

}  // namespace detail

/// Checks a text that comes in pieces for being UTF-8 (RFC 3629 §4: no overlong forms, no surrogates, nothing
/// over U+10FFFF).
class Utf8Validator {
 public:
  /// Takes the next piece. False with the first byte after which the text can no longer become UTF-8, and from then on.
  bool consume(std::string_view text) noexcept {
    if (failed()) return false;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
      if (pending_ == 0) {
        at = detail::skip_ascii(at, end);
        if (at == end) break;
        if (!begin_sequence(static_cast<unsigned char>(*at++))) return fail();
      } else {
        const auto byte = static_cast<unsigned char>(*at++);
        if (byte < low_ || byte > high_) return fail();
        --pending_;
        low_ = 0x80;
        high_ = 0xBF;
      }
    }
    return true;
  }

  /// Whether the text so far is UTF-8 and ends with a whole character.
  bool complete() const noexcept { return pending_ == 0; }

  /// Begins another text.
  void reset() noexcept { *this = Utf8Validator{}; }

 private:
  /// The bounds of the second byte are all that rules out overlong forms, surrogates and too large values.
  bool begin_sequence(unsigned char lead) noexcept {
    if (lead < 0xC2 || lead > 0xF4) return false;
    pending_ = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    low_ = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    high_ = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return true;
  }

  bool failed() const noexcept { return low_ > high_; }
  bool fail() noexcept {
    pending_ = 1;
    low_ = 1;
    high_ = 0;
    return false;
  }

  unsigned char pending_ = 0;  // bytes that the character begun still lacks
  unsigned char low_ = 0x80;   // what the next of them may be; an empty range once failed
  unsigned char high_ = 0xBF;
};

/// Whether the whole text is UTF-8 (RFC 3629).
inline bool is_utf8(std::string_view text) noexcept {
  Utf8Validator validator;
  return validator.consume(text) && validator.complete();
}

}  // namespace downlink::wire
