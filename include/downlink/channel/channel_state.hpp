#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/encoded_log.hpp>
#include <downlink/config.hpp>
#include <downlink/random.hpp>
#include <downlink/wire/cursor.hpp>

namespace downlink::detail {

/// Somebody to tell that a channel has news. `wake` comes from any thread, under the channel's wake lock; it carries no
/// data and must neither block nor call back into the channel.
class Waker {
 public:
  virtual void wake() noexcept = 0;

 protected:
  ~Waker() = default;

 private:
  friend class ChannelState;
  Waker* next_waker_ = nullptr;  // under the wake lock
};

/// What happens to a channel's readers, counted as it happens; none of it on the way of a message.
struct ReaderCounts {
  std::atomic<std::uint64_t> resumes{0};
  std::atomic<std::uint64_t> gaps{0};
  std::atomic<std::uint64_t> skips{0};
  std::atomic<std::uint64_t> drops{0};
};

/// What `ChannelOptions::max_message` may be at most.
inline constexpr std::size_t largest_payload = std::size_t{512} << 20;

/// What a `Channel`, its publishers and its subscribers share. Safe from any thread.
///
/// Locks, in the order in which they nest: an encoded log's, the log's. The wake lock nests in none of them.
class ChannelState {
 public:
  ChannelState(ChannelOptions options, std::uint64_t epoch);
  /// One with a random epoch.
  static std::shared_ptr<ChannelState> make(ChannelOptions options);

  const ChannelOptions& options() const { return options_; }

  /// Throws `std::invalid_argument` for options that contradict each other.
  static void check(const ChannelOptions& options);

  static error_code validate(const ChannelOptions& options, const Message& message);

  /// Appends under the next offset, or under `at`, and wakes whoever waits.
  Result<MessageId> append(Message message, const MessageId* at = nullptr);

  /// Nothing is published any more; subscribers are sent what is there and then end.
  void close();
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  /// The newest position, the first that a subscriber may still be behind at, and the last that a jump took. They may
  /// be old when they are read; a wake-up follows every change.
  Position head() const { return head_.load(std::memory_order_acquire); }
  Position tail_first() const { return tail_first_.load(std::memory_order_acquire); }
  Position reset_through() const { return reset_through_.load(std::memory_order_acquire); }

  struct Attached {
    StartPoint start;
    /// The head when the subscriber came: what is newer counts towards its lag.
    Position joined = 0;
  };

  /// Counts a subscriber in and finds its start, in one step: from here on the live tail is kept for it.
  Attached attach(const StartRequest& request, DefaultStart otherwise) { return *attach(request, otherwise, 0); }
  /// The same for a peer; nothing where `max_subscribers` leaves it no room.
  std::optional<Attached> try_attach(const StartRequest& request, DefaultStart otherwise) {
    return attach(request, otherwise, options_.max_subscribers);
  }
  void detach();
  std::size_t subscribers() const { return subscribers_.load(std::memory_order_relaxed); }

  /// A start for a reader that is not counted as a subscriber.
  StartPoint start(const StartRequest& request, DefaultStart otherwise);

  /// Where a reader goes on that lost messages: at the oldest retained one, or at the newest.
  Position resume_earliest() const;
  Position resume_newest() const;

  MessageId id_of(Position position) const;
  /// The cursor that a reader holds who is to get `next` next: the id before it.
  MessageId cursor_before(Position next) const { return id_of(next - 1); }
  /// The id of the first live message at or after `next`; nothing when there is none.
  std::optional<MessageId> first_live(Position next) const;

  /// Reads a range in one wire form; see `EncodedLog::read`.
  void read(Form form, Position from, const ReadLimits& limits, Range& range);

  /// The records themselves, for application code. False when some were lost before they could be read.
  bool read_records(Position from, std::size_t max_records, std::size_t max_bytes, std::vector<RecordPtr>& out,
                    Position& head);

  /// What the channel's encodings take.
  const EncodedUse& encoded_use() const { return *encoded_use_; }
  /// Whether stalled readers keep more of the encodings from being freed than they may.
  bool pins_too_much() const { return encoded_use_->pinned.load(std::memory_order_relaxed) > options_.max_pinned; }

  ReaderCounts counts;

  /// A subscriber that is to get `next` next takes bytes again, or is given up: how far it is behind. What it asked for
  /// itself, up to `joined`, does not count.
  void note_lag(Position next, Position joined);

  ChannelStats stats();

  void add_waker(Waker& waker);
  /// Once it returns, `waker` is not called any more.
  void remove_waker(Waker& waker);

  /// When the channel was last published to, read from or left by a subscriber.
  TimePoint last_use() const;
  std::size_t history_messages();

 private:
  void wake();

  std::optional<Attached> attach(const StartRequest& request, DefaultStart otherwise, std::size_t most);

  StartPoint find_start(const StartRequest& request, DefaultStart otherwise);

  void publish_bounds();

  EncodedLog& encoded_log(Form form);

  ChannelOptions options_;
  LockedLog log_;
  TimePoint last_use_;
  std::uint64_t largest_lag_messages_ = 0;  // both under the log's lock
  std::uint64_t largest_lag_bytes_ = 0;
  std::atomic<bool> closed_{false};
  std::atomic<Position> head_{0};
  std::atomic<Position> tail_first_{0};
  std::atomic<Position> reset_through_{0};
  std::atomic<std::size_t> subscribers_{0};

  std::mutex forms_mutex_;
  std::unique_ptr<EncodedLog> forms_;  // a list: there are few, and they stay
  const std::shared_ptr<EncodedUse> encoded_use_ = std::make_shared<EncodedUse>();

  std::mutex wake_mutex_;
  Waker* wakers_ = nullptr;
};

/// The epoch of a new log, of random bits. 50 of them: 10 characters in every id, and a chance of 1e-15 that two
/// incarnations share one.
constexpr std::uint64_t epoch_of(std::uint64_t bits) { return bits >> 14; }

#if DOWNLINK_DEFINITIONS

DOWNLINK_DECL ChannelState::ChannelState(ChannelOptions options, std::uint64_t epoch)
    : options_(std::move(options)), log_{{}, Log(options_, epoch), options_.clock.get()} {
  if (!options_.clock) {
    options_.clock = std::make_shared<Clock>();
    log_.clock = options_.clock.get();
  }
  check(options_);
  options_.max_message = std::min(options_.max_message, largest_payload);
  last_use_ = log_.clock->now();
}

DOWNLINK_DECL std::shared_ptr<ChannelState> ChannelState::make(ChannelOptions options) {
  return std::make_shared<ChannelState>(std::move(options), epoch_of(random_bits()));
}

DOWNLINK_DECL void ChannelState::check(const ChannelOptions& options) {
  if (options.max_lag == 0 || options.max_lag_messages == 0) {
    throw std::invalid_argument("ChannelOptions: max_lag and max_lag_messages must be above zero");
  }
  if (options.history.max_age.count() < 0) {
    throw std::invalid_argument("ChannelOptions: history.max_age must not be negative");
  }
}

DOWNLINK_DECL error_code ChannelState::validate(const ChannelOptions& options, const Message& message) {
  if (message.data.size() > options.max_message) return errc::message_too_large;
  return check_message(message);
}

DOWNLINK_DECL Result<MessageId> ChannelState::append(Message message, const MessageId* at) {
  if (const auto bad = validate(options_, message)) return bad;
  if (message.event == "message") message.event.clear();
  auto record = std::make_shared<Record>();
  record->message = std::move(message);
  std::vector<RecordPtr> evicted;
  MessageId id;
  {
    const std::lock_guard guard(log_.mutex);
    if (closed_.load(std::memory_order_relaxed)) return errc::channel_closed;
    if (at) {
      if (!log_.log.seek(*at, evicted)) return errc::offset_not_increasing;
      publish_bounds();  // here too, should there be no memory for what is appended
    }
    const TimePoint now = log_.clock->now();
    id = log_.log.append(std::move(record), now, evicted);
    last_use_ = now;
    publish_bounds();
  }
  wake();
  return id;
}

DOWNLINK_DECL void ChannelState::close() {
  {
    const std::lock_guard guard(log_.mutex);
    if (closed_.exchange(true)) return;
  }
  wake();
}

DOWNLINK_DECL void ChannelState::detach() {
  std::vector<RecordPtr> evicted;
  const std::lock_guard guard(log_.mutex);
  last_use_ = log_.clock->now();
  if (subscribers_.fetch_sub(1, std::memory_order_relaxed) > 1) return;
  // What can't be let go for want of memory goes with the next message.
  thrown_by([&] { log_.log.expire(last_use_, evicted); });  // first, so that what is trimmed is what was lost
  log_.log.keep_tail(false);
  thrown_by([&] { log_.log.trim(last_use_, evicted); });
}

DOWNLINK_DECL StartPoint ChannelState::start(const StartRequest& request, DefaultStart otherwise) {
  std::vector<RecordPtr> expired;
  const std::lock_guard guard(log_.mutex);
  log_.log.expire(log_.clock->now(), expired);
  last_use_ = log_.clock->now();
  return find_start(request, otherwise);
}

DOWNLINK_DECL Position ChannelState::resume_earliest() const {
  const std::lock_guard guard(log_.mutex);
  return std::max(log_.log.start_earliest().next, log_.log.lost_through() + 1);
}

DOWNLINK_DECL Position ChannelState::resume_newest() const {
  const std::lock_guard guard(log_.mutex);
  return log_.log.start_before_end(1).next;
}

DOWNLINK_DECL MessageId ChannelState::id_of(Position position) const {
  const std::lock_guard guard(log_.mutex);
  return log_.log.id_of(position);
}

DOWNLINK_DECL std::optional<MessageId> ChannelState::first_live(Position next) const {
  const std::lock_guard guard(log_.mutex);
  const Record* record = log_.log.first_live(next);
  return record ? std::optional(record->id) : std::nullopt;
}

DOWNLINK_DECL void ChannelState::read(Form form, Position from, const ReadLimits& limits, Range& range) {
  EncodedLog& encoded = encoded_log(form);
  encoded.read(from, limits, range);
  if (encoded.over_bound()) {
    const std::lock_guard guard(forms_mutex_);
    for (auto* other = forms_.get(); other; other = other->next_.get()) other->shed();
  }
}

DOWNLINK_DECL bool ChannelState::read_records(Position from, std::size_t max_records, std::size_t max_bytes,
                                              std::vector<RecordPtr>& out, Position& head) {
  std::vector<RecordPtr> expired;
  const std::lock_guard guard(log_.mutex);
  log_.log.expire(log_.clock->now(), expired);
  head = log_.log.head();
  if (from <= log_.log.lost_through()) return false;
  log_.log.collect(from, max_records, max_bytes, out);
  return true;
}

DOWNLINK_DECL void ChannelState::note_lag(Position next, Position joined) {
  next = std::max(next, joined + 1);
  if (next > head()) return;
  const std::lock_guard guard(log_.mutex);
  largest_lag_messages_ = std::max(largest_lag_messages_, log_.log.head() - next + 1);
  largest_lag_bytes_ = std::max(largest_lag_bytes_, log_.log.bytes_behind(next));
}

DOWNLINK_DECL ChannelStats ChannelState::stats() {
  ChannelStats stats;
  stats.subscribers = subscribers();
  stats.encoded_bytes = encoded_use_->cached.load(std::memory_order_relaxed);
  stats.pinned_bytes = encoded_use_->pinned.load(std::memory_order_relaxed);
  stats.resumes = counts.resumes.load(std::memory_order_relaxed);
  stats.gaps = counts.gaps.load(std::memory_order_relaxed);
  stats.skips = counts.skips.load(std::memory_order_relaxed);
  stats.drops = counts.drops.load(std::memory_order_relaxed);
  std::vector<RecordPtr> expired;
  const std::lock_guard guard(log_.mutex);
  log_.log.expire(log_.clock->now(), expired);
  log_.log.tell(stats);
  stats.largest_lag_messages = largest_lag_messages_;
  stats.largest_lag_bytes = largest_lag_bytes_;
  return stats;
}

DOWNLINK_DECL void ChannelState::add_waker(Waker& waker) {
  const std::lock_guard guard(wake_mutex_);
  waker.next_waker_ = std::exchange(wakers_, &waker);
}

DOWNLINK_DECL void ChannelState::remove_waker(Waker& waker) {
  const std::lock_guard guard(wake_mutex_);
  for (Waker** place = &wakers_; *place; place = &(*place)->next_waker_) {
    if (*place != &waker) continue;
    *place = waker.next_waker_;
    return;
  }
}

DOWNLINK_DECL TimePoint ChannelState::last_use() const {
  const std::lock_guard guard(log_.mutex);
  return last_use_;
}

DOWNLINK_DECL std::size_t ChannelState::history_messages() {
  std::vector<RecordPtr> expired;
  const std::lock_guard guard(log_.mutex);
  log_.log.expire(log_.clock->now(), expired);
  return log_.log.history_messages();
}

DOWNLINK_DECL void ChannelState::wake() {
  const std::lock_guard guard(wake_mutex_);
  for (Waker* waker = wakers_; waker; waker = waker->next_waker_) waker->wake();
}

DOWNLINK_DECL std::optional<ChannelState::Attached> ChannelState::attach(const StartRequest& request,
                                                                         DefaultStart otherwise, std::size_t most) {
  std::vector<RecordPtr> expired;
  const std::lock_guard guard(log_.mutex);
  if (most > 0 && subscribers() >= most) return std::nullopt;
  log_.log.expire(log_.clock->now(), expired);
  const Attached attached{find_start(request, otherwise), log_.log.head()};  // first: it may throw
  if (subscribers_.fetch_add(1, std::memory_order_relaxed) == 0) log_.log.keep_tail(true);
  return attached;
}

DOWNLINK_DECL StartPoint ChannelState::find_start(const StartRequest& request, DefaultStart otherwise) {
  switch (request.kind) {
    case StartRequest::Kind::cursor:
      counts.resumes.fetch_add(1, std::memory_order_relaxed);
      return log_.log.start_at_cursor(request.cursor);
    case StartRequest::Kind::earliest:
      return log_.log.start_earliest();
    case StartRequest::Kind::history:
      return log_.log.start_before_end(request.history);
    case StartRequest::Kind::latest:
      return log_.log.start_latest();
    case StartRequest::Kind::none:
    case StartRequest::Kind::invalid:
      break;
  }
  return otherwise == DefaultStart::latest ? log_.log.start_latest() : log_.log.start_earliest();
}

DOWNLINK_DECL void ChannelState::publish_bounds() {
  reset_through_.store(log_.log.reset_through(), std::memory_order_release);
  tail_first_.store(log_.log.tail_first(), std::memory_order_release);
  head_.store(log_.log.head(), std::memory_order_release);
}

DOWNLINK_DECL EncodedLog& ChannelState::encoded_log(Form form) {
  const std::lock_guard guard(forms_mutex_);
  auto* place = &forms_;
  for (; *place; place = &(*place)->next_) {
    if ((*place)->form() == form) return **place;
  }
  *place = std::make_unique<EncodedLog>(form, log_, encoded_use_, options_.max_encoded);
  return **place;
}

#endif

}  // namespace downlink::detail
