#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/channel/channel_state.hpp>
#include <downlink/misuse.hpp>
#include <downlink/session/list.hpp>
#include <downlink/session/timer_wheel.hpp>

namespace downlink {
struct IoResult;
}

namespace downlink::detail {

class Feed;
class FormFeed;
class Entry;
struct Sendable;

/// Whoever stands behind a cursor, and has a deadline: a heartbeat, or the end of a wait. The calls come on the shard
/// and may do anything, its own destruction included.
class Subscriber : public Deadline {
 public:
  /// There may be something to send: send it, and put the entry where it belongs (`FormFeed::again`, `stall`).
  virtual void advance(Entry& entry) = 0;
  /// The entry, which waits for its peer to take bytes, has come to lag past the channel's bound.
  virtual void lagging(Entry& entry) = 0;

  /// The descriptor of the socket to which what follows the entry is sent, where somebody else may do it together with
  /// the same for others; else -1, and `advance` does it.
  virtual int socket_to_send() const { return -1; }
  /// What that came to. Calls nobody of the application's; false where the peer is gone, and `lost` is to follow.
  virtual bool sent(Entry&, const Sendable&, const IoResult&) { return true; }
  virtual void lost(Entry&) {}

 protected:
  ~Subscriber() = default;
};

/// A subscriber's cursor in one channel. A session may have several.
class Entry : public ListNode {
 public:
  explicit Entry(Subscriber& owner) : subscriber(&owner) {}
  inline ~Entry();

  Subscriber* subscriber;
  FormFeed* feed = nullptr;
  /// The first message that it has not begun to receive.
  Position next = 1;
  /// The channel's head when it came: only what is newer counts towards its lag.
  Position joined = 0;

  /// Comes to be subscribed: it is counted, and visited in every round from now on. Nothing where the channel has no
  /// room for it.
  inline std::optional<StartPoint> join(FormFeed& to, const StartRequest& start, DefaultStart otherwise);
  /// Leaves; does nothing when it has not joined.
  inline void leave();
  /// Whether messages that the bound counts are out of its reach (WIRE §7).
  inline bool past_lag() const;

 private:
  inline void part();
};

/// Where a feed lives; only `news` is called from other threads.
class FeedHost {
 public:
  virtual void news(Feed& feed) noexcept = 0;
  virtual void more(Feed& feed) = 0;
  virtual void left(Feed& feed) = 0;

 protected:
  ~FeedHost() = default;
};

/// A range with the buffers that send it.
struct Sendable {
  Range range;
  std::span<const net::const_buffer> buffers;
  /// Whether sending it brings its receiver up to date, with nothing else to do.
  bool plain = false;
  /// What encoding its first message came to, where that failed; the range is empty then.
  std::exception_ptr failure = {};
  /// What polls that wait for it are answered, once one has been: mostly the same bytes for all. `date` is when.
  std::string answer = {};
  std::string date = {};
};

/// The subscribers of one channel on one shard that share a wire form. Whoever stands at the same place is sent the
/// same range, which is read from the log once.
class FormFeed {
 public:
  FormFeed(Feed& owner, Form form, const ReadLimits& limits) : owner_(owner), form_(form), limits_(limits) {}

  Feed& owner() const { return owner_; }
  Form form() const { return form_; }

  /// What follows `next`, as of the last wake-up or later; valid until the next call.
  Sendable& range(Position next) {
    if (memo_from_ != next) read(next);
    return memo_;
  }

  /// Visit the entry again in this round; wait without visiting it; visit it in the next round.
  inline void again(Entry& entry);
  void stall(Entry& entry) { stalled_.push_back(entry); }
  void rest(Entry& entry) {
    idle_.push_back(entry);
    forget_range();  // it may hold what has expired since it was read
  }

 private:
  friend class Feed;
  friend class BatchedFanOut;

  bool has_work() const { return !todo_.empty() || !checking_.empty(); }

  // Looking is a sixteenth of visiting.
  inline void look_at_lag(std::size_t visits);

  // With every wake-up, so that nobody is sent less than what was published before it.
  void forget_range() {
    memo_from_ = nowhere;
    memo_.plain = false;
    memo_.buffers = {};
    memo_.range.pieces.clear();  // they would keep segments that their cache drops, and no `Hold` would let go of them
  }
  inline void read(Position next);
  [[gnu::cold]] inline void keep_what_was_read(Position next);

  static constexpr Position nowhere = ~Position{0};

  Feed& owner_;
  std::unique_ptr<FormFeed> next_;  // the feed's next form
  const Form form_;
  const ReadLimits limits_;
  Position memo_from_ = nowhere;
  Sendable memo_;
  std::array<net::const_buffer, ReadLimits::most_pieces> buffers_;
  List<Entry> idle_;      // have everything as of their last visit
  List<Entry> todo_;      // to be visited in this round
  List<Entry> stalled_;   // wait for their peers to take bytes
  List<Entry> checking_;  // stalled ones whose lag is to be looked at in this round
};

/// One channel's subscribers on one shard. A wake-up puts it on the shard's ready list, once; the shard then visits
/// its entries in slices.
class Feed final : public ListNode, public Waker {
 public:
  Feed(FeedHost& host, std::shared_ptr<ChannelState> channel) : host_(host), channel_(std::move(channel)) {
    channel_->add_waker(*this);
    look();
  }
  ~Feed() { leave(); }

  FeedHost& host() const { return host_; }
  const std::shared_ptr<ChannelState>& channel() const { return channel_; }
  /// Whoever has yet to begin an earlier message than this is past the lag bound, or stands before a jump.
  Position floor() const { return floor_; }
  bool closed() const { return closed_; }
  bool unused() const { return entries_ == 0; }

  FormFeed& form(Form form, const ReadLimits& limits) {
    auto* place = &forms_;
    for (; *place; place = &(*place)->next_) {
      if ((*place)->form() == form) return **place;
    }
    *place = std::make_unique<FormFeed>(*this, form, limits);
    return **place;
  }

  void wake() noexcept override {
    if (!pending_.exchange(true, std::memory_order_acq_rel)) host_.news(*this);
  }

  /// Whether somebody is left to visit in this round.
  bool has_work() const {
    for (auto* form = forms_.get(); form; form = form->next_.get()) {
      if (form->has_work()) return true;
    }
    return false;
  }

  /// Takes the wake-up, which only who has taken the feed off the ready list may do: it can be put there again from
  /// here on. What was published before it is seen. True when there is somebody to visit.
  bool begin_round() {
    pending_.exchange(false, std::memory_order_acq_rel);
    const bool check = look();
    for (auto* form = forms_.get(); form; form = form->next_.get()) {
      form->forget_range();
      form->todo_.take_all(form->idle_);
      if (check) form->checking_.take_all(form->stalled_);
    }
    return has_work();
  }

  /// Visits at most `count` entries, which it takes off the count, and looks at the lag of more; true while some are
  /// left.
  bool advance(std::size_t& count) {
    return advance_forms(count, [&](FormFeed& form) {
      form.look_at_lag(count);
      for (; count > 0 && !form.todo_.empty(); --count) {
        Entry& entry = form.todo_.front();
        form.idle_.push_back(entry);
        entry.subscriber->advance(entry);
      }
      if (!form.has_work()) form.forget_range();
    });
  }

  /// Once it returns, no wake-up reaches this feed any more.
  void leave() { channel_->remove_waker(*this); }

  /// The next feed in the shard's ready list; whoever set `pending_` owns it.
  Feed* next_ready = nullptr;

 private:
  friend class Entry;
  friend class BatchedFanOut;

  // Calls `visit` for each form that has work, beginning behind the one that was left with some: who has more to send
  // than at once keeps nobody of another form waiting. True while some are left.
  template <class Visit>
  bool advance_forms(const std::size_t& budget, Visit&& visit) {
    FormFeed* const first = begin_with_ ? begin_with_ : forms_.get();
    FormFeed* form = first;
    do {
      FormFeed* const following = form->next_ ? form->next_.get() : forms_.get();
      if (form->has_work()) {
        begin_with_ = budget > 0 ? following : form;
        if (budget == 0) return true;
        visit(*form);
        if (form->has_work()) return true;
      }
      form = following;
    } while (form != first);
    return has_work();  // somebody called back may have come to an earlier form
  }

  // Takes over how the channel stands; true when the lag of stalled subscribers is to be looked at.
  bool look() {
    closed_ = channel_->closed();
    const Position floor = std::max(channel_->tail_first(), channel_->reset_through() + 1);
    return floor != std::exchange(floor_, floor);
  }

  FeedHost& host_;
  std::shared_ptr<ChannelState> channel_;
  std::atomic<bool> pending_{false};
  std::unique_ptr<FormFeed> forms_;  // a list: there are few, and they stay
  FormFeed* begin_with_ = nullptr;   // the form that is visited next, or the first
  std::size_t entries_ = 0;
  Position floor_ = 0;
  bool closed_ = false;
};

inline void FormFeed::read(Position next) {
  Range& range = memo_.range;
  const auto try_to = [&] { memo_.failure = thrown_by([&] { owner_.channel()->read(form_, next, limits_, range); }); };
  try_to();
  if (memo_.failure && range.pieces.empty()) try_to();  // finds what was encoded before it failed
  memo_.answer.clear();
  std::size_t count = 0;
  for (const Piece& piece : range.pieces) buffers_[count++] = net::const_buffer(piece.data(), piece.size());
  memo_.buffers = std::span(buffers_).first(count);
  if (memo_.failure) keep_what_was_read(next);
  memo_.plain = !range.lost && !memo_.buffers.empty() && !range.more && !owner_.closed();
  memo_from_ = next;
}

// What precedes the message that failed is sent first; the failure comes again behind it.
inline void FormFeed::keep_what_was_read(Position next) {
  if (!memo_.buffers.empty() && net::buffer_size(memo_.buffers) == memo_.range.bytes) {
    memo_.failure = nullptr;
    memo_.range.more = true;
  } else {
    memo_.range.clear(next);
    memo_.buffers = {};
  }
}

inline void FormFeed::look_at_lag(std::size_t visits) {
  for (std::size_t looks = visits * 16; looks > 0 && !checking_.empty(); --looks) {
    Entry& entry = checking_.front();
    stalled_.push_back(entry);
    if (entry.past_lag()) entry.subscriber->lagging(entry);
  }
}

inline void FormFeed::again(Entry& entry) {
  todo_.push_back(entry);
  if (!owner_.linked()) owner_.host().more(owner_);
}

inline std::optional<StartPoint> Entry::join(FormFeed& to, const StartRequest& start, DefaultStart otherwise) {
  // First the list, then the head: a message that comes between the two wakes this entry.
  feed = &to;
  to.rest(*this);
  ++to.owner().entries_;
  struct Joining {  // where the channel has no room for it, or there is no memory
    Entry& entry;
    bool done = false;
    ~Joining() {
      if (!done) entry.part();
    }
  } joining{*this};
  const auto attached = to.owner().channel()->try_attach(start, otherwise);
  if (!attached) return std::nullopt;
  joining.done = true;
  next = attached->start.next;
  joined = attached->joined;
  return attached->start;
}

inline void Entry::leave() {
  if (!feed) return;
  feed->owner().channel()->detach();
  part();
}

inline void Entry::part() {
  unlink();
  Feed& owner = std::exchange(feed, nullptr)->owner();
  if (--owner.entries_ == 0) owner.host().left(owner);
}

inline bool Entry::past_lag() const {
  const Position floor = feed->owner().floor();
  return next < floor && joined + 1 < floor;
}

inline Entry::~Entry() { leave(); }

}  // namespace downlink::detail
