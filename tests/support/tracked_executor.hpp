#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include <downlink/asio.hpp>

namespace downlink::testing {

/// A loop of one thread, which sees who has to do with it: once `end` was called on it, nobody else may.
class TrackedLoop {
 public:
  TrackedLoop() = default;
  TrackedLoop(const TrackedLoop&) = delete;
  TrackedLoop& operator=(const TrackedLoop&) = delete;
  ~TrackedLoop() { post({}); }

  void post(std::function<void()> task) {
    const std::lock_guard guard(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_one();
  }
  void end() { ended_ = true; }
  void touch() {
    if (ended_ && std::this_thread::get_id() != thread_.get_id()) ++touched_;
  }

  /// How many tracked executors are there.
  std::atomic<int> work{0};
  /// How often another thread has made or dropped an executor after the end.
  int touched() const { return touched_; }

 private:
  void run() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !tasks_.empty(); });
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      if (!task) return;
      task();
    }
  }

  std::atomic<bool> ended_{false};
  std::atomic<int> touched_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::jthread thread_{[this] { run(); }};
};

class TrackedExecutor {
 public:
  explicit TrackedExecutor(TrackedLoop& loop, bool tracked = false) noexcept : loop_(&loop), tracked_(tracked) {
    if (tracked_) ++loop_->work;
    loop_->touch();
  }
  TrackedExecutor(const TrackedExecutor& other) noexcept : TrackedExecutor(*other.loop_, other.tracked_) {}
  TrackedExecutor(TrackedExecutor&& other) noexcept
      : loop_(std::exchange(other.loop_, nullptr)), tracked_(std::exchange(other.tracked_, false)) {}
  TrackedExecutor& operator=(TrackedExecutor) = delete;
  ~TrackedExecutor() {
    if (tracked_) --loop_->work;
    if (loop_) loop_->touch();
  }

  TrackedExecutor require(net::execution::outstanding_work_t::tracked_t) const { return TrackedExecutor(*loop_, true); }
  TrackedExecutor require(net::execution::outstanding_work_t::untracked_t) const { return TrackedExecutor(*loop_); }
  TrackedExecutor require(net::execution::blocking_t::never_t) const { return *this; }

  template <class Function>
  void execute(Function&& function) const {
    // std::function needs a copyable target.
    auto shared = std::make_shared<std::decay_t<Function>>(std::forward<Function>(function));
    loop_->post([shared = std::move(shared)]() mutable {
      const auto only = std::move(shared);
      std::move (*only)();
    });
    // As when a thread is held up within `post`.
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }

  friend bool operator==(const TrackedExecutor& a, const TrackedExecutor& b) noexcept { return a.loop_ == b.loop_; }
  friend bool operator!=(const TrackedExecutor& a, const TrackedExecutor& b) noexcept { return a.loop_ != b.loop_; }

 private:
  TrackedLoop* loop_;
  bool tracked_;
};

}  // namespace downlink::testing
