#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "downlink/wire/ascii.hpp"

namespace downlink::wire {

/// The header of the PROXY protocol (versions 1 and 2) by which a proxy says on whose behalf it connects.
struct ProxyHeader {
  /// How far it has come.
  enum class State : unsigned char {
    /// More bytes are needed.
    incomplete,
    /// It is there.
    complete,
    /// It is none: the connection is to be closed.
    malformed,
  };
  /// How far it has come.
  State state = State::incomplete;
  /// Bytes of the header; what follows them is the client's.
  std::size_t size = 0;
  /// The client's address as text, which nobody has checked to be one; empty where the proxy speaks for itself
  /// (`LOCAL`) or for what has no IP address.
  std::string source = {};
  /// Whether the proxy speaks for itself.
  bool local = false;
};

/// A header with more bytes, of version 2 and its extensions, is malformed.
inline constexpr std::size_t max_proxy_header = 4096;

namespace detail {

/// Version 1: `PROXY TCP4 SOURCE DESTINATION PORT PORT` or `PROXY UNKNOWN` and anything, then CRLF; at most 107 bytes.
inline ProxyHeader parse_proxy_header_1(std::string_view bytes) {
  constexpr std::size_t longest = 107;
  const ProxyHeader malformed{ProxyHeader::State::malformed};
  const auto end = bytes.substr(0, longest).find("\r\n");
  if (end == bytes.npos) return bytes.size() < longest ? ProxyHeader{} : malformed;
  ProxyHeader header{ProxyHeader::State::complete, end + 2};
  std::array<std::string_view, 6> fields;
  std::size_t count = 0;
  for (auto line = bytes.substr(0, end); count < fields.size(); ++count) {
    fields[count] = line.substr(0, line.find(' '));
    if (count + 1 == fields.size() && fields[count].size() < line.size()) return malformed;
    line.remove_prefix(std::min(fields[count].size() + 1, line.size()));
    if (count == 1 && fields[1] == "UNKNOWN") return header;
  }
  const auto port = [](std::string_view text) { return parse_decimal(text).value_or(65'536) < 65'536; };
  const auto address = [&](std::string_view text) {
    return !text.empty() &&
           text.find_first_not_of(fields[1] == "TCP4" ? "0123456789." : "0123456789abcdefABCDEF:.") == text.npos;
  };
  if ((fields[1] != "TCP4" && fields[1] != "TCP6") || !address(fields[2]) || !address(fields[3]) || !port(fields[4]) ||
      !port(fields[5])) {
    return malformed;
  }
  header.source = fields[2];
  return header;
}

/// Version 2: a signature, version and command, family and protocol, the length of what follows, addresses, extensions.
inline ProxyHeader parse_proxy_header_2(std::string_view bytes) {
  constexpr std::size_t fixed = 16;
  const ProxyHeader malformed{ProxyHeader::State::malformed};
  if (bytes.size() < fixed) return {};
  const auto byte = [bytes](std::size_t index) {
    return static_cast<unsigned>(static_cast<unsigned char>(bytes[index]));
  };
  const unsigned version = byte(12) >> 4;
  const unsigned command = byte(12) & 15;
  const unsigned family = byte(13) >> 4;
  const std::size_t length = byte(14) << 8 | byte(15);
  constexpr std::array<std::size_t, 4> least{0, 12, 36, 216};  // unspecified, IPv4, IPv6, local
  const bool local = command == 0;
  if (version != 2 || command > 1 || fixed + length > max_proxy_header) return malformed;
  // LOCAL is taken with any family and protocol.
  if (!local && (family >= least.size() || (byte(13) & 15) > 2 || length < least[family])) return malformed;
  if (bytes.size() < fixed + length) return {};
  ProxyHeader header{ProxyHeader::State::complete, fixed + length, {}, local};
  if (local) return header;
  if (family == 1) {
    for (std::size_t i = 0; i < 4; ++i) header.source += (i > 0 ? "." : "") + std::to_string(byte(fixed + i));
  } else if (family == 2) {
    for (std::size_t i = 0; i < 16; i += 2) {
      std::array<char, 6> group{};
      std::snprintf(group.data(), group.size(), "%s%x", i > 0 ? ":" : "", byte(fixed + i) << 8 | byte(fixed + i + 1));
      header.source += group.data();
    }
  }
  return header;
}

}  // namespace detail

/// Reads the header at the start of a connection's bytes, as many as have come. What can't become one is malformed as
/// soon as that shows.
inline ProxyHeader parse_proxy_header(std::string_view bytes) {
  constexpr std::string_view first = "PROXY ";
  constexpr std::string_view second("\r\n\r\n\0\r\nQUIT\n", 12);
  const auto begins = [bytes](std::string_view start) {
    return bytes.substr(0, start.size()) == start.substr(0, bytes.size());
  };
  if (begins(second)) return detail::parse_proxy_header_2(bytes);
  if (begins(first)) return detail::parse_proxy_header_1(bytes);
  return {ProxyHeader::State::malformed};
}

}  // namespace downlink::wire
