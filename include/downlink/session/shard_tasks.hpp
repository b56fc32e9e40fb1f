#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>

namespace downlink::detail {

/// What a shard is handed to run, until its loop goes. Safe from any thread, but for `run`, which is the shard's.
class ShardTasks {
 public:
  /// One type for all, because each type posted costs a program a second of compiling.
  using Task = std::function<void()>;

  explicit ShardTasks(net::io_context& context) : context_(context) {}

  /// Adds `task` and calls `schedule`, unless the loop is gone: under the lock, because the task may be the last to
  /// keep the shard, and the loop may be about to go.
  template <class Schedule>
  void add(Task task, Schedule schedule) {
    const std::lock_guard guard(mutex_);
    if (gone_) return;
    tasks_.push_back(std::move(task));
    schedule();
  }
  /// Adds the task that `make` returns, if any, and calls `schedule`. False, and neither is called, where the loop has
  /// gone or, unless `even_resting`, nobody runs it any more.
  template <class Make, class Schedule>
  bool add_made(Make&& make, bool even_resting, Schedule schedule) {
    const std::lock_guard guard(mutex_);
    if (gone_ || (!even_resting && context_.stopped())) return false;
    if (Task task = std::forward<Make>(make)()) tasks_.push_back(std::move(task));
    schedule();
    return true;
  }

  /// Runs what there is, in its order, until `over()`, but one at least. Where some are left, also because one has
  /// thrown, `schedule` is called.
  template <class Schedule, class Over>
  void run(Schedule schedule, Over over) {
    struct Running {
      Schedule& schedule;
      bool done = false;
      ~Running() {
        if (!done) schedule();
      }
    } running{schedule};
    if (!run_begun(over)) return;
    {
      const std::lock_guard guard(mutex_);
      running_.swap(tasks_);
    }
    running.done = run_begun(over);
  }

  /// Calls `call` when the loop goes.
  void at_end(Task call) {
    const std::lock_guard guard(mutex_);
    ends_.push_back(std::move(call));
  }

  /// The loop is going: nothing is added from here on.
  void close() {
    const std::lock_guard guard(mutex_);
    gone_ = true;
  }
  /// Drops what was not run, and calls what was to be called at the end.
  void end() {
    std::vector<Task> dropped;
    std::vector<Task> left;
    std::vector<Task> ends;
    {
      const std::lock_guard guard(mutex_);
      dropped.swap(tasks_);
      left.swap(running_);
      ends.swap(ends_);
    }
    for (const auto& each : ends) each();
  }

  /// Whether what is added is not run, for now or for ever: the loop is gone, or nobody runs it any more.
  bool rest() {
    const std::lock_guard guard(mutex_);
    return gone_ || context_.stopped();
  }
  /// Whether the loop is gone, for whom does not race with its end.
  bool gone() const { return gone_; }

 private:
  // False where some are left.
  template <class Over>
  bool run_begun(Over& over) {
    while (begun_ < running_.size()) {
      const Task task = std::move(running_[begun_++]);
      task();
      if (begun_ < running_.size() && over()) return false;
    }
    running_.clear();
    begun_ = 0;
    return true;
  }

  net::io_context& context_;
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Task> running_;
  std::size_t begun_ = 0;  // of those that are running
  std::vector<Task> ends_;
  std::atomic<bool> gone_{false};
};

}  // namespace downlink::detail
