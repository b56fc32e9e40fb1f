#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>
#include <downlink/wire/request_head.hpp>

namespace downlink {

/// What an authorizer makes of a request.
struct Decision {
  enum class Kind : unsigned char { allowed, forbidden, unauthorized };

  Kind kind = Kind::allowed;
  /// Whom the request was recognised as, and whatever is to be known of it later.
  std::string subject = {};
  std::vector<std::pair<std::string, std::string>> attributes = {};
  /// After this time a stream is ended (WebSocket 4002) and a held poll answered; none means that neither is.
  std::optional<std::chrono::milliseconds> expires_after = {};
  /// What `WWW-Authenticate` says.
  std::string challenge = {};
};

/// Lets the request in.
inline Decision allow(std::string subject = {}, std::vector<std::pair<std::string, std::string>> attributes = {},
                      std::optional<std::chrono::milliseconds> expires_after = std::nullopt) {
  return {Decision::Kind::allowed, std::move(subject), std::move(attributes), expires_after, {}};
}
/// Refuses it with 403.
inline Decision deny() { return {.kind = Decision::Kind::forbidden}; }
/// Refuses it with 401 and this challenge.
inline Decision unauthorized(std::string challenge = "Bearer") {
  return {.kind = Decision::Kind::unauthorized, .challenge = std::move(challenge)};
}

namespace detail {

template <class T>
struct AwaitableResult {};
template <class T, class Executor>
struct AwaitableResult<net::awaitable<T, Executor>> {
  using Type = T;
};
template <class T>
concept Awaitable = requires {
  typename AwaitableResult<T>::Type;
};

/// A handler of the application's as the library calls it: it completes through `done`, at once or later on the
/// shard's executor. What a handler throws is passed on as the error.
template <class Result, class... Arguments>
using AsyncHandler =
    std::function<void(const net::any_io_executor&, Arguments..., std::function<void(std::exception_ptr, Result)>)>;

/// Makes one of a function that returns a value, nothing, or an awaitable of either.
template <class Result, class... Arguments, class Function>
AsyncHandler<Result, Arguments...> make_async_handler(Function function) {
  using Returned = std::invoke_result_t<Function&, Arguments...>;
  // Awaitables outlive the call, and with them the function object and its arguments have to.
  auto shared = std::make_shared<Function>(std::move(function));
  return [shared](const net::any_io_executor& executor, Arguments... arguments,
                  std::function<void(std::exception_ptr, Result)> done) {
    std::exception_ptr error;
    Result result{};
    if constexpr (Awaitable<Returned>) {
      std::optional<Returned> awaitable;
      auto kept = std::make_shared<std::tuple<Arguments...>>(std::forward<Arguments>(arguments)...);
      try {
        awaitable.emplace(
            std::apply([&](auto&... each) -> Returned { return (*shared)(std::forward<Arguments>(each)...); }, *kept));
      } catch (...) {
        return done(std::current_exception(), std::move(result));
      }
      net::co_spawn(executor, *std::move(awaitable),
                    [shared, kept, done = std::move(done)](std::exception_ptr failure, auto&&... value) {
                      if constexpr (sizeof...(value) == 0) {
                        done(failure, Result{});
                      } else {
                        done(failure, Result(std::forward<decltype(value)>(value)...));
                      }
                    });
    } else {
      try {
        if constexpr (std::is_void_v<Returned>) {
          (*shared)(std::forward<Arguments>(arguments)...);
        } else {
          result = Result((*shared)(std::forward<Arguments>(arguments)...));
        }
      } catch (...) {
        error = std::current_exception();
      }
      done(error, std::move(result));
    }
  };
}

}  // namespace detail
}  // namespace downlink
