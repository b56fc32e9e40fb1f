#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>

namespace downlink::testing {

/// How long a test waits for something that has to come.
inline constexpr std::chrono::seconds patience{5};

/// Whether `condition` comes to hold, looked at again and again for as long as `patience`.
template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds time = patience) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return static_cast<bool>(condition());
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

/// One or more `io_context`s, each run by a thread of its own until the loop is stopped or destroyed. What handlers
/// capture is declared before it, servers after it.
class Loop {
 public:
  explicit Loop(std::size_t count = 1) {
    for (std::size_t i = 0; i < count; ++i) contexts_.emplace_back(1);
    for (auto& context : contexts_) {
      work_.push_back(net::require(context.get_executor(), net::execution::outstanding_work.tracked));
      threads_.emplace_back([&context] { context.run(); });
    }
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() { stop(); }

  net::io_context& context(std::size_t index = 0) { return contexts_[index]; }

  /// All of them, as servers take them.
  std::vector<std::reference_wrapper<net::io_context>> contexts() { return {contexts_.begin(), contexts_.end()}; }

  /// Calls `function` on the thread of a context and gives what it returns, or throws what it throws. Not to be called
  /// from that thread.
  template <class Function>
  auto run_on(Function function, std::size_t index = 0) {
    std::packaged_task<std::invoke_result_t<Function&>()> task(std::move(function));
    auto result = task.get_future();
    // Asio would take the task itself for a completion token and ask it for its future.
    net::post(context(index), [task = std::move(task)]() mutable { task(); });
    if (result.wait_for(patience) != std::future_status::ready) throw std::runtime_error("the loop does not answer");
    return result.get();
  }

  /// Stops every context at once, whatever it has left to do, and waits for its thread.
  void stop() {
    work_.clear();
    for (auto& context : contexts_) context.stop();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

  /// Waits until every context has run out of things to do; whether that came about within `time`.
  bool finish(std::chrono::milliseconds time = patience) {
    work_.clear();
    return eventually(
        [this] {
          for (auto& context : contexts_) {
            if (!context.stopped()) return false;
          }
          return true;
        },
        time);
  }

 private:
  std::deque<net::io_context> contexts_;
  std::vector<net::any_io_executor> work_;
  std::vector<std::thread> threads_;
};

}  // namespace downlink::testing
