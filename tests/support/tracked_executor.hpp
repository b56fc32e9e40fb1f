#pragma once

#include <memory>
#include <utility>

#include <downlink/asio.hpp>

namespace downlink::testing {

/// What a `TrackedExecutor`'s owner sees of it.
struct TrackedLoop {
  int work = 0;           // tracked executors that are there
  bool ended = false;     // a function has been run and destroyed: its loop may be gone
  int touched_after = 0;  // tracked executors that went after that
};

/// Runs what is posted at once, as the fastest loop of another thread would, and sees who still holds work on it then.
class TrackedExecutor {
 public:
  explicit TrackedExecutor(TrackedLoop& loop, bool tracked = false) noexcept : loop_(&loop), tracked_(tracked) {
    if (tracked_) ++loop_->work;
  }
  TrackedExecutor(const TrackedExecutor& other) noexcept : TrackedExecutor(*other.loop_, other.tracked_) {}
  TrackedExecutor(TrackedExecutor&& other) noexcept
      : loop_(other.loop_), tracked_(std::exchange(other.tracked_, false)) {}
  TrackedExecutor& operator=(TrackedExecutor) = delete;
  ~TrackedExecutor() {
    if (!tracked_) return;
    --loop_->work;
    if (loop_->ended) ++loop_->touched_after;
  }

  TrackedExecutor require(net::execution::outstanding_work_t::tracked_t) const { return TrackedExecutor(*loop_, true); }
  TrackedExecutor require(net::execution::outstanding_work_t::untracked_t) const { return TrackedExecutor(*loop_); }

  TrackedExecutor require(net::execution::blocking_t::never_t) const { return *this; }

  template <class Function>
  void execute(Function&& function) const {
    {
      auto taken = std::forward<Function>(function);
      taken();
    }
    loop_->ended = true;
  }

  friend bool operator==(const TrackedExecutor& a, const TrackedExecutor& b) noexcept { return a.loop_ == b.loop_; }
  friend bool operator!=(const TrackedExecutor& a, const TrackedExecutor& b) noexcept { return a.loop_ != b.loop_; }

 private:
  TrackedLoop* loop_;
  bool tracked_;
};

}  // namespace downlink::testing
