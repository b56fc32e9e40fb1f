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
#include <downlink/misuse.hpp>
#include <downlink/route/pattern.hpp>
#include <downlink/session/shard_executor.hpp>
#include <downlink/wire/request_head.hpp>

namespace downlink {

/// What an authorizer makes of a request.
struct Decision {
  /// What it comes to.
  enum class Kind : unsigned char {
    /// The request is served.
    allowed,
    /// It is refused with 403: coming again with other credentials does not help.
    forbidden,
    /// It is refused with 401 and a challenge.
    unauthorized,
  };

  /// What it comes to.
  Kind kind = Kind::allowed;
  /// Whom the request was recognised as; peers have it as `Identity::subject`.
  std::string subject = {};
  /// Whatever is to be known of the peer later, as `Identity::attributes`.
  std::vector<std::pair<std::string, std::string>> attributes = {};
  /// After this time a stream is ended (WebSocket 4002) and a held poll answered; none means that neither is. Where
  /// nothing of it is left the request is refused with 401.
  std::optional<std::chrono::milliseconds> expires_after = {};
  /// What `WWW-Authenticate` says (RFC 9110 §11.6.1); `Bearer` where it is empty.
  std::string challenge = {};
};

/// Lets the request in, as that subject and with those attributes. After `expires_after` a stream is ended.
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

/// A handler of the application's as the library calls it, on a shard.
template <class Result, class... Arguments>
class AsyncHandler {
 public:
  using Done = std::function<void(std::exception_ptr, Result)>;

  AsyncHandler() = default;
  /// Of a function that returns a value, nothing, or an awaitable of either.
  template <class Function>
  explicit AsyncHandler(Function function) {
    using Returned = std::invoke_result_t<Function&, Arguments...>;
    auto shared = std::make_shared<Function>(std::move(function));  // it need not be copyable
    if constexpr (Awaitable<Returned>) {
      awaiting_ = make_awaiting<Returned>(std::move(shared));
    } else {
      plain_ = [shared = std::move(shared)](Arguments... arguments) {
        if constexpr (std::is_void_v<Returned>) {
          (*shared)(std::forward<Arguments>(arguments)...);
          return Result{};
        } else {
          return Result((*shared)(std::forward<Arguments>(arguments)...));
        }
      };
    }
  }

  explicit operator bool() const { return plain_ || awaiting_; }

  /// Calls `done(std::exception_ptr, Result)` on the shard, at once or later, with what the handler returns or throws.
  template <class OnShard>
  void operator()(Shard& shard, Arguments... arguments, OnShard done) const {
    if (awaiting_) {
      const auto pending = std::make_shared<Pending<OnShard>>(shard, std::move(done));
      shard.began(std::shared_ptr<net::cancellation_signal>(pending, &pending->cancellation));
      return awaiting_(
          application_executor(shard), pending->cancellation.slot(), std::forward<Arguments>(arguments)...,
          [pending](const std::exception_ptr& error, Result result) { pending->finish(error, std::move(result)); });
    }
    Result result{};
    const auto error = thrown_by([&] { result = plain_(std::forward<Arguments>(arguments)...); });
    done(error, std::move(result));
  }

 private:
  // A coroutine that is destroyed before its end, because what it waits for was, has failed.
  template <class OnShard>
  struct Pending {
    Pending(Shard& on, OnShard then) : shard(on), done(std::move(then)) {}
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    ~Pending() {
      if (finished) return;
      shard.post([done = std::move(done)] {
        done(std::make_exception_ptr(std::runtime_error("the handler was dropped before its end")), Result{});
      });
    }
    void finish(const std::exception_ptr& error, Result result) {
      finished = true;
      shard.dispatch([done = done, error, result = std::move(result)]() mutable { done(error, std::move(result)); });
    }
    Shard& shard;
    OnShard done;
    net::cancellation_signal cancellation;
    bool finished = false;
  };

  using Awaiting = std::function<void(const net::any_io_executor&, net::cancellation_slot, Arguments..., Done)>;

  template <class Returned, class Function>
  static Awaiting make_awaiting(std::shared_ptr<Function> shared) {
    // Awaitables outlive the call, and with them the function object and its arguments have to.
    return [shared = std::move(shared)](const net::any_io_executor& executor, net::cancellation_slot slot,
                                        Arguments... arguments, Done done) {
      std::optional<Returned> awaitable;
      auto kept = std::make_shared<std::tuple<Arguments...>>(std::forward<Arguments>(arguments)...);
      const auto error = thrown_by([&] {
        awaitable.emplace(
            std::apply([&](auto&... each) -> Returned { return (*shared)(std::forward<Arguments>(each)...); }, *kept));
      });
      if (error) return done(error, Result{});
      auto ended = [shared, kept, done = std::move(done)](std::exception_ptr failure, auto&&... value) {
        if constexpr (sizeof...(value) == 0) {
          done(failure, Result{});
        } else {
          done(failure, Result(std::forward<decltype(value)>(value)...));
        }
      };
      net::co_spawn(executor, *std::move(awaitable), net::bind_cancellation_slot(slot, std::move(ended)));
    };
  }

  std::function<Result(Arguments...)> plain_;
  Awaiting awaiting_;
};

/// An authorizer as the library calls it.
using RequestAuthorizer = AsyncHandler<Decision, const RequestHead&, const RouteParameters&>;

/// Of a function that takes the head alone or the route's parameters too.
template <class Function>
RequestAuthorizer make_authorizer(Function function) {
  if constexpr (std::is_invocable_v<Function&, const RequestHead&, const RouteParameters&>) {
    return RequestAuthorizer(std::move(function));
  } else {
    return RequestAuthorizer([function = std::move(function)](const RequestHead& head, const RouteParameters&) mutable {
      return function(head);
    });
  }
}

}  // namespace detail
}  // namespace downlink
