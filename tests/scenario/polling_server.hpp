#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"

namespace downlink::testing {

using namespace std::chrono_literals;

using Texts = std::vector<std::string>;
using Polled = Served<ShortPolling, LongPolling>;

inline std::string tag(const std::string& id) { return '"' + id + '"'; }
inline std::string none_match(const std::string& value) { return "If-None-Match: " + value + "\r\n"; }

// The channel's time, moved by hand.
class MovableClock final : public Clock {
 public:
  TimePoint now() const noexcept override {
    const std::lock_guard guard(mutex_);
    return now_;
  }
  void advance(std::chrono::milliseconds time) {
    const std::lock_guard guard(mutex_);
    now_ += time;
  }

 private:
  mutable std::mutex mutex_;
  TimePoint now_{1h};
};

// Sends a poll that has nothing to answer with, and sees that it is held.
template <class S>
Connection hold(S& served, const std::string& target, const std::string& headers = {}) {
  auto connection = served.connect();
  connection.send(request_text("GET", target, headers));
  REQUIRE(served.subscribers(1));
  REQUIRE(connection.unread().empty());
  return connection;
}

}  // namespace downlink::testing
