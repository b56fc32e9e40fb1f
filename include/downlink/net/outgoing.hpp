#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>
#include <downlink/channel/encoded_log.hpp>

namespace downlink::detail {

/// One whole response that is being written: bytes of its own around pieces of the encoded log, which are shared.
struct Outgoing {
  std::string before = {};
  std::vector<Piece> pieces = {};
  std::string after = {};
  std::size_t sent = 0;

  std::size_t size() const {
    std::size_t sum = before.size() + after.size();
    for (const Piece& piece : pieces) sum += piece.size();
    return sum;
  }

  /// What is still to be sent.
  std::vector<net::const_buffer> rest() const {
    std::vector<net::const_buffer> buffers;
    std::size_t skip = sent;
    const auto add = [&](const char* data, std::size_t bytes) {
      const std::size_t skipped = std::min(skip, bytes);
      skip -= skipped;
      if (skipped < bytes) buffers.emplace_back(data + skipped, bytes - skipped);
    };
    add(before.data(), before.size());
    for (const Piece& piece : pieces) add(piece.data(), piece.size());
    add(after.data(), after.size());
    return buffers;
  }
};

}  // namespace downlink::detail
