#pragma once

#include <memory>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/channel/channel.hpp>
#include <downlink/completion.hpp>
#include <downlink/misuse.hpp>

namespace downlink {

/// Publishes to one channel. Copyable; safe from any thread. Publishing takes a short lock, waits for no socket and
/// costs the same however many subscribers there are.
class Publisher {
 public:
  /// Publishes to this channel, which it shares: the handle given may go.
  explicit Publisher(const Channel& channel) : state_(detail::ChannelAccess::state(channel)) {}

  /// Appends the message; on return it is in the log. Errors: `channel_closed`, `message_too_large`, `bad_event_name`,
  /// `not_utf8`, and `needs_async` for a channel whose log is an engine's.
  Result<MessageId> publish(Message message) const {
    if (state_->options().engine) return state_->closed() ? errc::channel_closed : errc::needs_async;
    return state_->append(std::move(message));
  }

  /// The same for every channel: completes with `void(error_code, MessageId)` once the log has the message. One more
  /// error: `engine_failed`, where the engine throws or is destroyed before it has called back.
  template <class CompletionToken>
  auto async_publish(Message message, CompletionToken&& token) const {
    return net::async_initiate<CompletionToken, void(error_code, MessageId)>(
        [state = state_](auto handler, Message taken) {
          // Shared here: once the engine has called back, a coroutine that waited may have ended, and this with it.
          if (const auto engine = state->options().engine) {
            auto bad = detail::ChannelState::validate(state->options(), taken);
            if (state->closed()) bad = errc::channel_closed;
            if (bad) return complete(std::move(handler), bad, {});
            const auto executor = executor_of(handler);
            const auto done = failing_when_dropped(detail::Completion(std::move(handler), executor));
            if (detail::thrown_by([&] { engine->async_publish(std::move(taken), done); })) {
              done(error_code(errc::engine_failed), MessageId{});
            }
            return;
          }
          const auto published = state->append(std::move(taken));
          complete(std::move(handler), published.error(), published ? published.value() : MessageId{});
        },
        token, std::move(message));
  }

 private:
  // An engine that lets go of what it was to call, as by being destroyed, has failed.
  template <class Completion>
  static auto failing_when_dropped(Completion completion) {
    struct Pending {
      explicit Pending(Completion then) : done(std::move(then)) {}
      Pending(const Pending&) = delete;
      Pending& operator=(const Pending&) = delete;
      ~Pending() { done(error_code(errc::engine_failed), MessageId{}); }
      const Completion done;
    };
    return [pending = std::make_shared<const Pending>(std::move(completion))](error_code error, MessageId id) {
      pending->done(error, id);
    };
  }

  template <class Handler>
  static void complete(Handler&& handler, error_code error, MessageId id) {
    const auto executor = executor_of(handler);
    net::post(executor,
              [handler = std::forward<Handler>(handler), error, id]() mutable { std::move(handler)(error, id); });
  }

  // From Asio 1.38 on, a handler without an executor has one by default to which nothing can be posted.
  template <class Handler>
  static auto executor_of(const Handler& handler) {
    return net::get_associated_executor(handler, net::system_executor{});
  }

  std::shared_ptr<detail::ChannelState> state_;
};

}  // namespace downlink
