#pragma once

#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <mutex>
#include <string>

#include <downlink/net/log.hpp>

namespace hub {

/// Writes errors, a line each, and no more than a few a second: clients can cause some of them. Safe from any thread.
class ErrorLog {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t lines_a_second = 10;

  explicit ErrorLog(std::ostream& out) : out_(out) {}

  /// Writes what is an error, and nothing else.
  void write(const downlink::LogEntry& entry, Clock::time_point now = Clock::now());

 private:
  std::ostream& out_;
  std::mutex mutex_;
  Clock::time_point second_{};
  std::size_t lines_ = 0;
};

/// A line that tells of an entry. Bytes that a client chose can't end it.
std::string to_line(const downlink::LogEntry& entry);

}  // namespace hub
