#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <downlink/channel/clock.hpp>
#include <downlink/session/list.hpp>

namespace downlink::detail {

/// A deadline that stands in a wheel. It costs a list node and a number; setting, moving and clearing it are O(1).
class Deadline : public ListNode {
 public:
  virtual void expired() = 0;

 protected:
  Deadline() = default;
  ~Deadline() = default;

 private:
  friend class TimerWheel;
  std::uint64_t tick_ = 0;
};

/// A hierarchical timer wheel without a clock of its own: four wheels of 64 slots over ticks of a millisecond reach
/// four and a half hours; what is due later goes round again. A deadline is rounded up to a step of at most an eighth
/// of its interval (and of a second), so that the many heartbeats of a server fall due together.
class TimerWheel {
 public:
  using Duration = std::chrono::milliseconds;

  explicit TimerWheel(TimePoint start) : start_(start) {}

  /// Sets `deadline` to fall due `interval`, at most `longest_wait`, after `now`, wherever it stood before. Returns
  /// when that is.
  TimePoint set(Deadline& deadline, TimePoint now, Duration interval) {
    const auto length = static_cast<std::uint64_t>(std::clamp(interval, Duration(1), longest_wait).count());
    const std::uint64_t step = std::min<std::uint64_t>(std::bit_floor(std::max<std::uint64_t>(length / 8, 1)), 1024);
    const std::uint64_t due = tick_of(now + Duration(1) - TimePoint::duration(1)) + length;  // never early
    deadline.tick_ = (due + step - 1) / step * step;
    place(deadline);
    return start_ + Duration(deadline.tick_);
  }

  /// How long until a deadline that is set falls due.
  Duration left(const Deadline& deadline, TimePoint now) const {
    const std::uint64_t tick = tick_of(now);
    return Duration(static_cast<Duration::rep>(deadline.tick_ - std::min(tick, deadline.tick_)));
  }

  /// When to call `advance` next; `TimePoint::max()` while nothing is set.
  TimePoint next_due() {
    const std::uint64_t tick = next_tick();
    return tick == never ? TimePoint::max() : start_ + Duration(tick);
  }

  /// Moves what is due at `now` to `due`, soonest first; the caller takes it from there at its own pace.
  void advance(TimePoint now, List<Deadline>& due) {
    const std::uint64_t target = tick_of(now);
    for (std::uint64_t tick = next_tick(); tick <= target; tick = next_tick()) {
      now_ = tick;
      for (std::size_t level = levels - 1; level > 0; --level) {
        if (tick % (std::uint64_t{1} << (bits * level)) != 0) continue;
        List<Deadline> moving;
        moving.take_all(slot(level, tick >> (bits * level)));
        while (!moving.empty()) place(moving.front());
      }
      due.take_all(slot(0, tick));
    }
    now_ = std::max(now_, target);
  }

 private:
  static constexpr std::size_t bits = 6;
  static constexpr std::size_t slots = 64;
  static constexpr std::size_t levels = 4;
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  std::uint64_t tick_of(TimePoint time) const {
    const auto passed = std::chrono::duration_cast<Duration>(time - start_).count();
    return passed < 0 ? 0 : static_cast<std::uint64_t>(passed);
  }

  // The first tick from now on at which a slot in use begins.
  std::uint64_t next_tick() {
    std::uint64_t soonest = never;
    for (std::size_t level = 0; level < levels; ++level) {
      const std::uint64_t digit = now_ >> (bits * level);
      for (std::uint64_t ahead = level == 0 ? 0 : 1; ahead < slots; ++ahead) {
        if (slot(level, digit + ahead).empty()) continue;
        soonest = std::min(soonest, (digit + ahead) << (bits * level));
        break;
      }
    }
    return soonest;
  }

  List<Deadline>& slot(std::size_t level, std::uint64_t digit) { return wheels_[level][digit % slots]; }

  void place(Deadline& deadline) {
    std::uint64_t tick = std::max(deadline.tick_, now_);
    for (std::size_t level = 0; level < levels; ++level) {
      if ((tick >> (bits * level)) - (now_ >> (bits * level)) < slots) {
        return slot(level, tick >> (bits * level)).push_back(deadline);
      }
    }
    // Beyond the last wheel: as far ahead as it reaches, to be placed again from there.
    slot(levels - 1, (now_ >> (bits * (levels - 1))) + slots - 1).push_back(deadline);
  }

  std::array<std::array<List<Deadline>, slots>, levels> wheels_;
  TimePoint start_;
  std::uint64_t now_ = 0;
};

}  // namespace downlink::detail
