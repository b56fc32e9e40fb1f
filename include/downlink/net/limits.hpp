#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include <downlink/asio.hpp>
#include <downlink/channel/clock.hpp>
#include <downlink/error.hpp>

/// Who may come, and how much of it: counting connections and metering what goes on in time.

namespace downlink::detail {

/// Lets so many units a second through, at once as many as in `burst` (the generic cell rate algorithm).
/// All its state is up to when what was taken is paid for, so that one costs eight bytes.
class RateMeter {
 public:
  using Duration = TimePoint::duration;

  /// How long until so many units are let through; zero when it is now, and then they are taken. More units than
  /// `burst` brings are never let through.
  Duration take(TimePoint now, std::size_t units, std::size_t per_second, Duration burst) {
    const TimePoint until = paid_with(now, units, per_second);
    if (until - now > burst) return until - now - burst;
    paid_until_ = until;
    return Duration::zero();
  }
  /// The same without taking them.
  Duration wait(TimePoint now, std::size_t units, std::size_t per_second, Duration burst) const {
    return std::max(paid_with(now, units, per_second) - now - burst, Duration::zero());
  }

 private:
  TimePoint paid_with(TimePoint now, std::size_t units, std::size_t per_second) const {
    const std::chrono::duration<double> cost(static_cast<double>(units) / static_cast<double>(per_second));
    constexpr std::chrono::duration<double> most = std::chrono::hours(24 * 365);  // which a Duration holds
    return std::max(paid_until_, now) + std::chrono::duration_cast<Duration>(std::min(cost, most));
  }

  TimePoint paid_until_{};
};

/// What a peer's address counts as: an IPv4 address as itself, an IPv6 address by its /64, of which one host has all.
/// `no_address` for what is no IP address.
using AddressKey = std::uint64_t;
inline constexpr AddressKey no_address = ~AddressKey{0};  // a multicast prefix, which no peer comes from

inline AddressKey address_key(const std::string& text) {
  error_code error;
  const auto address = net::ip::make_address(text, error);
  if (error) return no_address;
  if (address.is_v4()) return address.to_v4().to_uint();
  const auto v6 = address.to_v6();
  const auto bytes = v6.to_bytes();
  AddressKey key = 0;
  if (v6.is_v4_mapped()) {
    for (std::size_t i = 12; i < 16; ++i) key = key << 8 | bytes[i];
  } else {
    for (std::size_t i = 0; i < 8; ++i) key = key << 8 | bytes[i];
  }
  return key;
}

/// Counts connections against the limits of an endpoint. Those past a limit get an answer that says so; they take
/// nothing from the limit, so that whoever leaves makes room at once, but there is a bound on them too. Safe from any
/// thread.
class Admission {
 public:
  enum class Verdict : unsigned char {
    admitted,
    /// Past a limit: requests are answered with 503.
    refused,
    /// Past the bound on those as well: closed without a word.
    turned_away,
  };

  /// Zero means without a limit. `seed` keeps peers from choosing addresses that share a bucket.
  Admission(std::size_t most, std::size_t most_per_address, std::uint64_t seed)
      : most_(most), most_per_address_(most_per_address), by_address_(0, Hash{seed | 1}) {}

  /// Each connection that enters leaves, with the same address and the verdict that it got.
  Verdict enter(AddressKey address) {
    if (unlimited()) return Verdict::admitted;
    const std::lock_guard guard(mutex_);
    if (has_room(address)) {
      if (counts(address)) ++by_address_[address];  // first: it may throw
      ++admitted_;
      return Verdict::admitted;
    }
    if (refused_ >= most_refused) return Verdict::turned_away;
    ++refused_;
    return Verdict::refused;
  }

  void leave(AddressKey address, Verdict verdict) {
    if (unlimited() || verdict == Verdict::turned_away) return;
    const std::lock_guard guard(mutex_);
    if (verdict == Verdict::refused) {
      --refused_;
      return;
    }
    --admitted_;
    if (!counts(address)) return;
    const auto found = by_address_.find(address);
    if (--found->second == 0) by_address_.erase(found);
  }

  /// Connections past a limit that are told so at the same time.
  static constexpr std::size_t most_refused = 1024;

 private:
  struct Hash {
    std::uint64_t factor;
    std::size_t operator()(AddressKey key) const {
      const std::uint64_t product = key * factor;
      return static_cast<std::size_t>(product ^ product >> 32);
    }
  };

  bool unlimited() const { return most_ == 0 && most_per_address_ == 0; }
  bool counts(AddressKey address) const { return most_per_address_ > 0 && address != no_address; }
  bool has_room(AddressKey address) const {
    if (most_ > 0 && admitted_ >= most_) return false;
    if (!counts(address)) return true;
    const auto found = by_address_.find(address);
    return found == by_address_.end() || found->second < most_per_address_;
  }

  const std::size_t most_;
  const std::size_t most_per_address_;
  std::mutex mutex_;
  std::size_t admitted_ = 0;
  std::size_t refused_ = 0;
  std::unordered_map<AddressKey, std::size_t, Hash> by_address_;
};

}  // namespace downlink::detail
