#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>
#include <downlink/channel/encoded_log.hpp>
#include <downlink/wire/clear_and_shrink.hpp>

namespace downlink::detail {

/// One whole response that is being written: bytes of its own around pieces of the encoded log, which are shared.
struct Outgoing {
  static constexpr std::size_t most_kept = 1024;

  std::string before = {};
  std::vector<Piece> pieces = {};
  std::string after = {};
  std::size_t sent = 0;

  std::size_t size() const {
    std::size_t sum = before.size() + after.size();
    for (const Piece& piece : pieces) sum += piece.size();
    return sum;
  }

  /// Makes ready for the next response, which may use the memory again.
  void clear() {
    wire::detail::clear_and_shrink(before, most_kept);
    pieces.clear();
    wire::detail::clear_and_shrink(after);
    sent = 0;
  }

  /// Copies everything into one piece.
  void join() {
    before.reserve(size());
    for (const Piece& piece : pieces) before.append(piece.data(), piece.size());
    before += after;
    pieces.clear();
    after.clear();
  }

  /// Whether it keeps what `use` counts as pinned.
  bool pins(const EncodedUse& use) const {
    return std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) { return piece.segment->is_pinned(use); });
  }

  /// Buffers for what is still to be sent, as far as there is room for them.
  std::span<const net::const_buffer> rest(std::span<net::const_buffer> room) const {
    std::size_t skip = sent;
    std::size_t count = 0;
    const auto add = [&](const char* data, std::size_t bytes) {
      const std::size_t skipped = std::min(skip, bytes);
      skip -= skipped;
      if (skipped < bytes && count < room.size()) room[count++] = net::const_buffer(data + skipped, bytes - skipped);
    };
    add(before.data(), before.size());
    for (const Piece& piece : pieces) add(piece.data(), piece.size());
    add(after.data(), after.size());
    return room.first(count);
  }
};

}  // namespace downlink::detail
