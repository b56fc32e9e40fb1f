#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace downlink::wire {

namespace detail {

using Sha1State = std::array<std::uint32_t, 5>;

/// Takes one block of 64 bytes into the state (RFC 3174 §6.1).
inline void sha1_block(Sha1State& state, const char* block) noexcept {
  std::array<std::uint32_t, 80> words;
  for (std::size_t t = 0; t < 16; ++t) {
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 4; ++i) word = word << 8 | static_cast<unsigned char>(block[4 * t + i]);
    words[t] = word;
  }
  for (std::size_t t = 16; t < 80; ++t) {
    words[t] = std::rotl(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
  }

  auto [a, b, c, d, e] = state;
  const auto step = [&](std::size_t t, std::uint32_t mix) {
    const std::uint32_t next = std::rotl(a, 5) + mix + e + words[t];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  };
  for (std::size_t t = 0; t < 20; ++t) step(t, (d ^ (b & (c ^ d))) + 0x5A827999u);
  for (std::size_t t = 20; t < 40; ++t) step(t, (b ^ c ^ d) + 0x6ED9EBA1u);
  for (std::size_t t = 40; t < 60; ++t) step(t, ((b & c) | (d & (b | c))) + 0x8F1BBCDCu);
  for (std::size_t t = 60; t < 80; ++t) step(t, (b ^ c ^ d) + 0xCA62C1D6u);
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
}

}  // namespace detail

/// The SHA-1 digest of `bytes` (RFC 3174). For the WebSocket handshake, which names it; not for secrets.
inline std::array<unsigned char, 20> sha1(std::string_view bytes) noexcept {
  detail::Sha1State state{0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
  const std::uint64_t bit_count = std::uint64_t{bytes.size()} * 8;
  for (; bytes.size() >= 64; bytes.remove_prefix(64)) detail::sha1_block(state, bytes.data());

  // The rest, a one bit, zeros, and the length in the last 8 bytes: one block, or two (§4).
  std::array<char, 128> last{};
  bytes.copy(last.data(), bytes.size());
  last[bytes.size()] = static_cast<char>(0x80);
  const std::size_t size = bytes.size() < 56 ? 64 : 128;
  for (std::size_t i = 0; i < 8; ++i) last[size - 1 - i] = static_cast<char>(bit_count >> (8 * i) & 0xFF);
  for (std::size_t at = 0; at < size; at += 64) detail::sha1_block(state, last.data() + at);

  std::array<unsigned char, 20> digest;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<unsigned char>(state[i / 4] >> (24 - 8 * (i % 4)) & 0xFF);
  }
  return digest;
}

}  // namespace downlink::wire
