#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>

namespace downlink::detail {

/// The application's coroutines under way on a shard, whether or not the connections that began them still are.
class Coroutines {
 public:
  /// One has begun. Those that have ended are forgotten now and then.
  void add(std::weak_ptr<net::cancellation_signal> coroutine) {
    if (running_.size() == running_.capacity()) {
      std::erase_if(running_, [](const auto& each) { return each.expired(); });
      running_.reserve(2 * running_.size() + 1);
    }
    running_.push_back(std::move(coroutine));
  }

  /// Cancels those that are still at work.
  void cancel() {
    for (const auto& coroutine : std::exchange(running_, {})) {
      if (const auto running = coroutine.lock()) running->emit(net::cancellation_type::terminal);
    }
  }

 private:
  std::vector<std::weak_ptr<net::cancellation_signal>> running_;
};

}  // namespace downlink::detail
