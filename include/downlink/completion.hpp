#pragma once

/// \file
/// Calling a completion handler from whatever thread an operation ends on.

#include <atomic>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include <downlink/asio.hpp>

namespace downlink::detail {

/// A completion handler on its executor, which has something to do until it is called: from any thread, as `(Args…)`;
/// further calls do nothing. Copyable, as `std::function` demands and completion handlers are not.
///
/// What the handler does may end its loop, so it is called only once the thread that posted it has left `post` and
/// holds no work. Asio alone does not go so far: `post` may still be at work when what it posted is done.
template <class Handler, class Executor>
class Completion {
 public:
  Completion(Handler handler, const Executor& executor)
      : state_(std::make_shared<State>(std::move(handler), net::make_work_guard(executor))) {}

  template <class... Args>
  void operator()(Args... args) const {
    const auto state = state_;
    if (state->called.exchange(true)) return;
    auto& [handler, work] = *state->held;
    post(Call<Args...>{std::move(handler), std::move(work), {state, &state->posted}, {std::move(args)...}});
    state->held.reset();  // what was moved from may still have an executor
    state->posted.store(true, std::memory_order_release);
  }

 private:
  using Work = decltype(net::make_work_guard(std::declval<const Executor&>()));

  struct State {
    State(Handler handler, Work work) : held(std::in_place, std::move(handler), std::move(work)) {}
    std::optional<std::pair<Handler, Work>> held;
    std::atomic<bool> called{false};
    std::atomic<bool> posted{false};
  };

  template <class... Args>
  struct Call {
    Handler handler;
    Work work;
    std::shared_ptr<const std::atomic<bool>> posted;
    std::tuple<Args...> args;

    void operator()() {
      if (!posted->load(std::memory_order_acquire)) return post(std::move(*this));
      std::apply(std::move(handler), std::move(args));
    }
  };

  template <class What>
  static void post(What call) {
    const auto executor = call.work.get_executor();
    net::post(executor, std::move(call));
  }

  std::shared_ptr<State> state_;
};

}  // namespace downlink::detail
