#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/compose.hpp>
#else
#include <asio/associated_cancellation_slot.hpp>
#include <asio/compose.hpp>
#endif

#include <downlink/asio.hpp>
#include <downlink/channel/channel.hpp>
#include <downlink/misuse.hpp>

namespace downlink {

/// One message as application code reads it: borrowed from the log, which keeps it while this value lives.
class Delivered {
 public:
  /// Made by a subscription.
  explicit Delivered(detail::RecordPtr record) : record_(std::move(record)) {}
  /// The message's id, a cursor to go on from.
  const MessageId& id() const { return record_->id; }
  /// What was published; valid while this value lives.
  const Message& message() const { return record_->message; }

 private:
  detail::RecordPtr record_;
};

/// What a subscription reads at once: a gap, or messages in order.
struct Batch {
  /// Whether messages before these were lost to this subscription.
  bool gap = false;
  /// Empty only when `gap` is set and nothing is retained.
  std::vector<Delivered> messages = {};
};

/// Where a subscription starts and how much it reads at once.
struct SubscriptionOptions {
  /// The id of the last message seen, `earliest`, or `latest`. By default empty, which is `latest`: what is published
  /// from now on, as a client without a cursor gets it.
  std::string cursor = {};
  /// Messages in one batch at most. By default 1000, as in a poll's answer: the loop is not kept for long.
  std::size_t max_batch = 1000;
  /// Payload bytes in one batch, after which no further message is added. By default 1 MiB, for the same reason.
  std::size_t max_batch_bytes = std::size_t{1} << 20;
};

/// The cursor of a transport's subscriber, for application code: each message once, in order, or a told gap.
/// One `async_next` at a time; destroy it before its execution context.
///
/// A template, used as `Subscription`, so that programs which only publish need not compile it.
template <class Executor = net::any_io_executor>
class BasicSubscription {
 public:
  /// Reads the channel from `options.cursor` on. `executor` is where it waits, which any number of threads may run.
  BasicSubscription(const Executor& executor, const Channel& channel, SubscriptionOptions options = {})
      : state_(std::make_shared<State>(executor, detail::ChannelAccess::state(channel), std::move(options))) {
    state_->channel->add_waker(*state_);
  }
  /// Takes another one's place; what waits in that goes on.
  BasicSubscription(BasicSubscription&&) noexcept = default;
  /// Exchanges the two.
  BasicSubscription& operator=(BasicSubscription&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  /// Whoever waits is told `operation_aborted`.
  ~BasicSubscription() {
    if (!state_) return;
    state_->channel->remove_waker(*state_);
    state_->channel->detach();
    state_->gone.store(true);
    state_->wake();  // whoever waits is told
  }

  /// Completes with `void(error_code, Batch)` as soon as there is something. After the channel's last message:
  /// `errc::channel_closed`. When it is cancelled (terminal cancellation, Asio's default): `operation_aborted`, and no
  /// message is passed over.
  template <class CompletionToken>
  auto async_next(CompletionToken&& token) {
    return net::async_compose<CompletionToken, void(error_code, Batch)>(Next{state_}, token, state_->timer);
  }

  /// `co_await subscription.next()`: the next batch; throws `system_error` where `async_next` has an error.
  net::awaitable<Batch> next() { return async_next(net::use_awaitable); }

 private:
  struct State final : detail::Waker {
    State(const Executor& executor, std::shared_ptr<detail::ChannelState> source, SubscriptionOptions wanted)
        : channel(std::move(source)), options(std::move(wanted)), timer(executor, TimePoint::max()) {
      StartRequest start{StartRequest::Kind::latest, {}, 0};
      if (options.cursor == "earliest") {
        start.kind = StartRequest::Kind::earliest;
      } else if (!options.cursor.empty() && options.cursor != "latest") {
        start = {StartRequest::Kind::cursor, options.cursor, 0};
      }
      if (options.max_batch == 0) detail::throw_invalid_argument("SubscriptionOptions: max_batch is at least 1");
      if (options.max_batch_bytes == 0)
        detail::throw_invalid_argument("SubscriptionOptions: max_batch_bytes is at least 1");
      const auto attached = channel->attach(start, DefaultStart::latest);
      next = attached.start.next;
      gap = attached.start.gap;
    }

    // Allocates nothing: a publisher that has no memory left still wakes who waits.
    void wake() noexcept override {
      if (news.exchange(true)) return;
      const std::lock_guard guard(mutex);
      timer.cancel();
    }

    // From any thread: ends the operation of that number, unless it has come to something.
    void cancel(std::uint64_t number) {
      const std::lock_guard guard(mutex);
      cancelled = number;
      timer.cancel();
    }

    // Whether there is something for the operation to complete with.
    bool read() {
      error = {};
      news.exchange(false);  // first: what comes from here on makes another read
      if (gone.load()) {
        error = net::error::operation_aborted;
        return true;
      }
      const bool closed = channel->closed();  // before reading: what was published before the close is still read
      std::vector<detail::RecordPtr> records;
      detail::Position head = 0;
      while (!channel->read_records(next, options.max_batch, options.max_batch_bytes, records, head)) {
        next = channel->resume_earliest();
        gap = true;
      }
      batch.gap = std::exchange(gap, false);
      if (batch.gap) channel->counts.gaps.fetch_add(1, std::memory_order_relaxed);
      next = records.empty() ? head + 1 : records.back()->position + 1;
      for (auto& record : records) batch.messages.emplace_back(std::move(record));
      if (batch.gap || !batch.messages.empty()) return true;
      if (closed) error = errc::channel_closed;
      return closed;
    }

    std::shared_ptr<detail::ChannelState> channel;
    SubscriptionOptions options;
    std::mutex mutex;
    net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, Executor> timer;
    std::uint64_t cancelled = 0;  // the number of the last operation that was; as the timer, under the mutex
    std::atomic<bool> news{false};
    std::atomic<bool> gone{false};
    std::uint64_t operations = 0;
    void* beginning = nullptr;  // where what begins to wait goes if it is destroyed instead; under the mutex
    error_code error = {};      // what the operation completes with
    Batch batch = {};
    detail::Position next = 1;
    bool gap = false;
  };

  // The operation: handed to the executor as it is, and called again on its handler's executor to complete. Nowhere
  // else is its cancellation slot touched.
  struct Next {
    std::shared_ptr<State> state;
    bool begun = false;

    template <class Self>
    void operator()(Self& self) {
      // The state outlives the operation that is moved from.
      const auto kept = state;
      if (std::exchange(begun, true)) return self.complete(kept->error, std::exchange(kept->batch, {}));
      const auto number = ++kept->operations;
      if (auto slot = net::get_associated_cancellation_slot(self); slot.is_connected()) {
        slot.assign([weak = std::weak_ptr(kept), number](net::cancellation_type) {
          if (const auto cancelling = weak.lock()) cancelling->cancel(number);
        });
      }
      net::post(kept->timer.get_executor(), Reading<Self>{kept, number, std::move(self)});
    }
  };

  // Reads until there is something. It waits under the mutex, as wake-ups come: none is lost between reading nothing
  // and waiting.
  template <class Operation>
  struct Reading {
    std::shared_ptr<State> state;
    std::uint64_t number;
    Operation operation;

    Reading(std::shared_ptr<State> of, std::uint64_t which, Operation&& what)
        : state(std::move(of)), number(which), operation(std::move(what)) {}
    Reading(Reading&&) noexcept = default;
    // Without memory to wait, Asio destroys it inside `async_wait`, and with it perhaps the subscription, which wants
    // the lock that a publisher has who wants ours: it is for later then.
    ~Reading() {
      if (state && state->beginning) static_cast<std::optional<Reading>*>(state->beginning)->emplace(std::move(*this));
    }

    void operator()(error_code = {}) {
      const auto kept = state;
      std::optional<Reading> dropped;  // after the lock
      while (!kept->read()) {
        const std::lock_guard guard(kept->mutex);
        if (kept->news.load()) continue;
        if (kept->cancelled != number) {
          struct Beginning {
            State& state;
            ~Beginning() { state.beginning = nullptr; }
          } const ends{*kept};
          kept->beginning = &dropped;
          return kept->timer.async_wait(std::move(*this));
        }
        kept->error = net::error::operation_aborted;
        break;
      }
      state.reset();  // from here on the next operation may begin
      net::post(std::move(operation));
    }
  };

  std::shared_ptr<State> state_;
};

/// A subscription on whatever executor.
using Subscription = BasicSubscription<>;

}  // namespace downlink
