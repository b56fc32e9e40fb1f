#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace downlink::wire {

namespace detail {

inline constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline constexpr unsigned char not_base64 = 0xFF;

inline constexpr auto base64_values = [] {
  std::array<unsigned char, 256> values{};
  values.fill(not_base64);
  for (std::size_t i = 0; i < base64_alphabet.size(); ++i) {
    values[static_cast<unsigned char>(base64_alphabet[i])] = static_cast<unsigned char>(i);
  }
  return values;
}();

constexpr unsigned char base64_value(char c) noexcept { return base64_values[static_cast<unsigned char>(c)]; }

}  // namespace detail

/// Appends the base64 form of `bytes`, padded, without line breaks (RFC 4648 §4).
inline void append_base64(std::string& out, std::string_view bytes) {
  std::size_t at = out.size();
  out.resize(at + (bytes.size() + 2) / 3 * 4);
  const auto byte = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(bytes[i]); };
  const auto put = [&](std::uint32_t bits, unsigned shift) {
    out[at++] = detail::base64_alphabet[(bits >> shift) & 0x3F];
  };
  std::size_t i = 0;
  for (; bytes.size() - i >= 3; i += 3) {
    const std::uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    put(bits, 18);
    put(bits, 12);
    put(bits, 6);
    put(bits, 0);
  }
  if (i == bytes.size()) return;
  const bool two = bytes.size() - i == 2;
  const std::uint32_t bits = byte(i) << 16 | (two ? byte(i + 1) << 8 : 0);
  put(bits, 18);
  put(bits, 12);
  if (two) put(bits, 6);
  while (at != out.size()) out[at++] = '=';
}

/// The bytes of a base64 text, or nothing when it is not exactly what an encoder makes: padded, no other
/// characters (RFC 4648 §3.3), no bits set that stand for nothing (§3.5).
inline std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;

  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const auto value = detail::base64_value(c);
    if (value == detail::not_base64) return std::nullopt;
    bits = bits << 6 | value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count));
    bits &= (1u << count) - 1;
  }
  if (bits != 0) return std::nullopt;
  return bytes;
}

}  // namespace downlink::wire
