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

  /// Runs all that there are. Where one throws, the others stay, and `schedule` is called.
  template <class Schedule>
  void run(Schedule schedule) {
    {
      const std::lock_guard guard(mutex_);
      running_.swap(tasks_);
    }
    struct Running {
      ShardTasks& all;
      Schedule& schedule;
      std::size_t begun = 0;
      bool done = false;
      ~Running() {
        if (!done) {
          const std::lock_guard guard(all.mutex_);
          const auto rest = all.running_.begin() + static_cast<std::ptrdiff_t>(begun);
          all.tasks_.insert(all.tasks_.begin(), std::make_move_iterator(rest),
                            std::make_move_iterator(all.running_.end()));
          schedule();
        }
        all.running_.clear();
      }
    } running{*this, schedule};
    while (running.begun < running_.size()) running_[running.begun++]();
    running.done = true;
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
    std::vector<Task> ends;
    {
      const std::lock_guard guard(mutex_);
      dropped.swap(tasks_);
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
  net::io_context& context_;
  std::mutex mutex_;
  std::vector<Task> tasks_;
  std::vector<Task> running_;
  std::vector<Task> ends_;
  std::atomic<bool> gone_{false};
};

}  // namespace downlink::detail
