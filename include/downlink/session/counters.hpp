#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <downlink/transport/transport.hpp>

namespace downlink {

/// One figure for each value of an enumeration: `ended[EndReason::too_slow]`.
template <class Enum, std::size_t size, class Number = std::uint64_t>
struct ByEnum {
  /// The figures, in the enumerators' order.
  std::array<Number, size> figures = {};

  /// The figure of one of them.
  Number& operator[](Enum which) { return figures[static_cast<std::size_t>(which)]; }
  /// The figure of one of them.
  const Number& operator[](Enum which) const { return figures[static_cast<std::size_t>(which)]; }
};

/// One figure for each transport: `subscribers[TransportKind::sse]`.
template <class Number = std::uint64_t>
using ByTransport = ByEnum<TransportKind, 5, Number>;
/// One figure for each reason for which a stream ends.
template <class Number = std::uint64_t>
using ByReason = ByEnum<EndReason, static_cast<std::size_t>(EndReason::timed_out) + 1, Number>;

/// One figure for each HTTP status that refuses a request, 400 to 599: `refused[404]`. Others share the place of 500.
template <class Number = std::uint64_t>
struct ByStatus {
  /// The first status with a figure of its own.
  static constexpr int first = 400;
  /// The last one.
  static constexpr int last = 599;
  /// The figures, from `first` to `last`.
  std::array<Number, last - first + 1> figures = {};

  /// The figure of a status.
  Number& operator[](int status) { return figures[place(status)]; }
  /// The figure of a status.
  const Number& operator[](int status) const { return figures[place(status)]; }

 private:
  static constexpr std::size_t place(int status) {
    return static_cast<std::size_t>((status < first || status > last ? 500 : status) - first);
  }
};

namespace detail {

/// A number that one thread at a time changes, and any may read: an addition is a plain load and store, which is less
/// than a call.
class Counter {
 public:
  [[gnu::always_inline]] void add(std::uint64_t amount = 1) {
    value_.store(value() + amount, std::memory_order_relaxed);
  }
  void take(std::uint64_t amount = 1) { value_.store(value() - amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// What happens on one shard, changed there alone. `ServerStats` says what each one means.
struct Counters {
  Counter accepted;
  Counter accept_errors;
  Counter over_limit;
  Counter requests;
  ByTransport<Counter> subscribers;
  ByTransport<Counter> served;
  Counter messages_sent;
  Counter bytes_sent;
  Counter messages_received;
  Counter bytes_received;
  Counter resumes;
  Counter gaps;
  Counter skips;
  ByReason<Counter> ended;
  ByStatus<Counter> refused;
  Counter write_timeouts;
  Counter handler_failures;
};

}  // namespace detail
}  // namespace downlink
