#pragma once

#include <chrono>
#include <memory>

namespace downlink {

/// A point of the monotonic time that ages, waits and deadlines are measured in.
using TimePoint = std::chrono::steady_clock::time_point;

/// Where the channel log takes its time from; a test derives from it to move time by hand.
/// `now` is called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// The time now, which must never go back.
  virtual TimePoint now() const noexcept { return std::chrono::steady_clock::now(); }
};

}  // namespace downlink
