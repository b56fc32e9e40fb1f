#pragma once

#include <atomic>
#include <chrono>

#include <downlink/channel/clock.hpp>

namespace downlink::testing {

/// A clock that stands still until it is moved. Safe from any thread.
class ManualClock final : public Clock {
 public:
  TimePoint now() const noexcept override { return TimePoint(TimePoint::duration(ticks_.load())); }
  void move(std::chrono::nanoseconds by) {
    ticks_.fetch_add(std::chrono::duration_cast<TimePoint::duration>(by).count());
  }

 private:
  std::atomic<TimePoint::rep> ticks_{TimePoint::duration(std::chrono::hours{1}).count()};
};

}  // namespace downlink::testing
