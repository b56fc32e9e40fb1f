#pragma once

/// \file
/// Calling a completion handler from whatever thread an operation ends on.

#include <memory>
#include <tuple>
#include <utility>

#include <downlink/asio.hpp>

namespace downlink::detail {

/// A completion handler on its executor, which has something to do until it is called: once, from any thread, as
/// `(Args…)`. Copyable, as `std::function` demands and completion handlers are not. Nothing of the handler or its
/// executor is left behind by the call: what the handler does may end the loop that it runs in.
template <class Handler, class Executor>
class Completion {
 public:
  Completion(Handler handler, const Executor& executor)
      : state_(std::make_shared<State>(std::move(handler), net::make_work_guard(executor))) {}

  template <class... Args>
  void operator()(Args... args) const {
    auto taken = std::move(*state_);
    const auto executor = std::get<1>(taken).get_executor();
    net::post(executor, [state = std::move(taken), ... given = std::move(args)]() mutable {
      std::get<0>(std::move(state))(std::move(given)...);
    });
  }

 private:
  using State = std::tuple<Handler, decltype(net::make_work_guard(std::declval<const Executor&>()))>;
  std::shared_ptr<State> state_;
};

}  // namespace downlink::detail
