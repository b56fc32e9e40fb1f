#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "downlink/wire/utf8.hpp"

namespace downlink::wire {

/// What a frame is (RFC 6455 §5.2).
enum class Opcode : unsigned char {
  /// A fragment that is not the message's first (§5.4).
  continuation = 0,
  /// A message of UTF-8, or its first fragment (§5.6).
  text = 1,
  /// A message of any bytes, or its first fragment (§5.6).
  binary = 2,
  /// The last frame of its sender (§5.5.1).
  close = 8,
  /// To be answered by a pong (§5.5.2).
  ping = 9,
  /// The answer to a ping, or a sign of life (§5.5.3).
  pong = 10,
};

/// Appends the head of a server's frame, unmasked and in the shortest form (RFC 6455 §5.2). `rsv1` marks the first
/// frame of a compressed message (RFC 7692 §6).
inline void append_frame_header(std::string& out, Opcode opcode, std::uint64_t payload_size, bool fin = true,
                                bool rsv1 = false) {
  std::array<char, 10> head;
  std::size_t size = 2;
  head[0] = static_cast<char>((fin ? 0x80u : 0u) | (rsv1 ? 0x40u : 0u) | static_cast<unsigned>(opcode));
  if (payload_size < 126) {
    head[1] = static_cast<char>(payload_size);
  } else {
    const bool wide = payload_size > 0xFFFF;
    head[1] = static_cast<char>(wide ? 127 : 126);
    for (unsigned shift = wide ? 64 : 16; shift != 0; shift -= 8) {
      head[size++] = static_cast<char>(payload_size >> (shift - 8) & 0xFF);
    }
  }
  out.append(head.data(), size);
}

/// Appends a whole unfragmented frame of a server. The payload of a control frame must be 125 bytes or less
/// (RFC 6455 §5.5).
inline void append_frame(std::string& out, Opcode opcode, std::string_view payload) {
  append_frame_header(out, opcode, payload.size());
  out += payload;
}

/// Appends a close frame (RFC 6455 §5.5.1). The reason is cut to the 123 bytes there is room for, between characters,
/// and left out where it is not UTF-8. 1005, which means that no code was given, makes a frame without one, as when
/// answering such a frame.
inline void append_close_frame(std::string& out, std::uint16_t code, std::string_view reason) {
  if (code == 1005) return append_frame(out, Opcode::close, {});
  constexpr std::size_t room = 123;
  if (reason.size() > room) {
    std::size_t cut = room;
    while (cut > 0 && (static_cast<unsigned char>(reason[cut]) & 0xC0) == 0x80) --cut;
    reason = reason.substr(0, cut);
  }
  if (!is_utf8(reason)) reason = {};
  append_frame_header(out, Opcode::close, reason.size() + 2);
  out += static_cast<char>(code >> 8);
  out += static_cast<char>(code & 0xFF);
  out += reason;
}

/// Whether a peer may send this close code (RFC 6455 §7.4 and IANA's registry): not the ones kept for local use
/// (1004 to 1006, 1015), nor ranges that nobody has defined.
constexpr bool valid_close_code(std::uint16_t code) noexcept {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/// Removes (or puts on) a client's mask in place (RFC 6455 §5.3). `phase` is how many bytes of the payload came before
/// these.
inline void unmask(std::span<char> bytes, std::array<unsigned char, 4> key, std::size_t phase) noexcept {
  std::array<unsigned char, 8> turned;
  for (std::size_t i = 0; i < turned.size(); ++i) turned[i] = key[(phase + i) % 4];
  std::uint64_t mask;
  std::memcpy(&mask, turned.data(), 8);

  std::size_t at = 0;
  for (; bytes.size() - at >= 8; at += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, bytes.data() + at, 8);
    eight ^= mask;
    std::memcpy(bytes.data() + at, &eight, 8);
  }
  for (std::size_t i = 0; at < bytes.size(); ++at, ++i) {
    bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ turned[i]);
  }
}

}  // namespace downlink::wire
