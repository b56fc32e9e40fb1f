#pragma once

/// \file
/// Random numbers: those that tell one incarnation of a log from another, and those that spread in time what would
/// otherwise happen all at once. None of them is a secret. `<random>` would be a fiftieth of what a user's source takes
/// to compile.

#include <downlink/config.hpp>

#include <cstdint>

namespace downlink::detail {

/// 64 bits from the operating system. Throws std::system_error where it has none to give.
DOWNLINK_DECL std::uint64_t random_bits();

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"): every state that is
/// `random_step` further gives another number. Needs nothing of the operating system, where no descriptor may be left.
inline constexpr std::uint64_t random_step = 0x9E3779B97F4A7C15;
constexpr std::uint64_t random_at(std::uint64_t state) {
  state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9;
  state = (state ^ state >> 27) * 0x94D049BB133111EB;
  return state ^ state >> 31;
}

}  // namespace downlink::detail

#if DOWNLINK_DEFINITIONS

#if __has_include(<sys/random.h>)
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#else
#include <random>
#endif

namespace downlink::detail {

DOWNLINK_DECL std::uint64_t random_bits() {
#if __has_include(<sys/random.h>)
  std::uint64_t bits = 0;
  if (getentropy(&bits, sizeof bits) != 0) throw std::system_error(errno, std::generic_category(), "getentropy");
  return bits;
#else
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
#endif
}

}  // namespace downlink::detail

#endif
