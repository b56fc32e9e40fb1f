#pragma once

#include <chrono>
#include <memory>

namespace downlink {

/// A point of the monotonic time that ages, waits and deadlines are measured in.
using TimePoint = std::chrono::steady_clock::time_point;

namespace detail {

/// As good as for ever. Longer waits count as this one, so that adding up some of them overflows no clock.
inline constexpr std::chrono::milliseconds longest_wait = std::chrono::years{50};

}  // namespace detail

/// Where the channel log takes its time from; a test derives from it to move time by hand.
/// `now` is called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The time now, which must never go back.
  virtual TimePoint now() const noexcept { return std::chrono::steady_clock::now(); }
};

}  // namespace downlink
