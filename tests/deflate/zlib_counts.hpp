#pragma once

#include <atomic>
#include <cstddef>

/// What this program made zlib do: zlib_counts.cpp stands between the two.
struct ZlibCounts {
  std::atomic<std::size_t> deflated{0};     // messages
  std::atomic<std::size_t> inflating{0};    // streams that are open
  std::atomic<std::size_t> bytes{0};        // put out by `inflate`
  std::atomic<std::size_t> memory{0};       // held by streams that inflate
  std::atomic<std::size_t> most_memory{0};  // the most of that at one time
};

extern ZlibCounts zlib_counts;
