#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <downlink/session/feed.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/session/stream.hpp>
#include <downlink/transport/transport.hpp>

namespace downlink {

/// How streams are kept.
struct StreamOptions {
  /// A stream in which nothing was sent for this long is sent something that a client ignores; a WebSocket from which
  /// nothing came is pinged, and dropped after another interval of silence.
  std::chrono::milliseconds heartbeat{30'000};
  /// A connection that takes no bytes for this long, while some wait for it, is reset.
  std::chrono::milliseconds write_timeout{30'000};
  /// What a stream tells its clients to wait before they reconnect.
  std::chrono::milliseconds retry{3'000};
  /// Bytes of direct replies and control frames that may wait for one peer.
  std::size_t max_peer_queue = (std::size_t{1} << 20) + (std::size_t{64} << 10);
};

namespace detail {

/// The connection as a session sees it.
class Carrier {
 public:
  virtual IoResult try_write(std::span<const net::const_buffer> buffers) = 0;
  /// How many of the bytes last offered, behind those that were written, are to be finished before any others.
  virtual std::size_t committed() const { return 0; }
  /// Calls `writable` of the session once the peer takes bytes again.
  virtual void await_writable() = 0;
  /// How long the peer's system has acknowledged nothing of what was sent; zero where that is not known.
  virtual std::chrono::milliseconds unacknowledged() const { return {}; }
  /// The session's last byte has been sent: close in an orderly way. The session outlives the call.
  virtual void session_done(EndReason reason) = 0;
  /// The connection is broken or timed out: reset it. The session outlives the call.
  virtual void session_broken(EndReason reason) = 0;
  /// It is decided that the session ends, and why: the first of what is told of its end.
  virtual void session_ends(const Ending&) {}

 protected:
  ~Carrier() = default;
};

/// One subscriber of one channel over a stream: it sends ranges of the encoded log from its cursor on, and between
/// messages what is meant for this peer alone. It has no queue of messages and takes no memory when its peer is slow.
class StreamSession : public Subscriber, public Deadline, public SegmentHolder {
 public:
  StreamSession(Carrier& carrier, Shard& shard, const StreamOps& ops, const StreamOptions& options)
      : carrier_(carrier), shard_(shard), ops_(ops), options_(options), entry_(*this) {}
  virtual ~StreamSession() = default;

  const StreamOps& ops() const { return ops_; }

  /// Subscribes; nothing where the channel has no room for it.
  std::optional<StartPoint> join(Feed& feed, const StartRequest& start, DefaultStart otherwise) {
    return entry_.join(feed.form(ops_.form, ops_.limits), start, otherwise);
  }

  /// Sends the response's head, the opening and what is there.
  void open(std::string head, const StartPoint& begin, const StartRequest& start) {
    last_sent_ = last_heard_ = shard_.update_now();
    shard_.set(*this, options_.heartbeat);
    control_ = std::move(head);
    const std::string cursor = channel().cursor_before(entry_.next).to_string();
    ops_.open(control_, {.cursor = begin.gap ? std::string_view{} : cursor, .retry = options_.retry});
    last_begun_ = entry_.next - 1;
    if (begin.gap) tell_gap(start.cursor);
    resume();
  }

  /// Takes what the peer sent. False where this stream takes no input.
  virtual bool receive(std::span<char>) { return false; }
  /// Whether the peer is not to be read from for now.
  virtual bool holds_input() const { return false; }
  /// Keeps further messages of the peer's back; goes on with them.
  virtual void pause() {}
  virtual void unpause() {}

  /// The peer takes bytes again.
  virtual void writable() {
    blocked_ = false;
    if (entry_.feed) {
      channel().note_lag(entry_.next, entry_.joined);
      entry_.feed->rest(entry_);
    }
    resume();
  }

  /// Sends a direct reply between messages. False when the stream is ending, as it does when too much waits already.
  bool reply(const MessageView& message) {
    if (ending_) return false;
    if (control_.size() - control_sent_ + message.data.size() > options_.max_peer_queue) {
      end({EndReason::too_slow, "replies are not taken"});
      return false;
    }
    ops_.reply(control_, message);
    if (!blocked_) flush();
    return true;
  }

  /// Bytes that wait for this peer alone.
  std::size_t queued() const { return control_.size() - control_sent_; }

  /// Ends the stream after the message that is being sent.
  void end(const Ending& ending) {
    if (ending_) return;
    ops_.end(control_, ending);
    finish(ending);
  }
  bool ending() const { return ending_; }

  /// The connection is gone: nothing more is written, and nobody is told.
  void abandon() {
    done_ = ending_ = true;
    entry_.leave();
    static_cast<Deadline*>(this)->unlink();
    partial_ = {};
    hold_.reset();
  }

  void advance(Entry& entry) final {
    if (blocked_) return entry.feed->stall(entry);
    const Feed& feed = entry.feed->owner();
    if (entry.past_lag()) return fall_behind();
    const auto sendable = entry.feed->range(entry.next);
    const Range& range = *sendable.range;
    if (range.lost) return fall_behind();
    if (range.pieces.empty()) {
      entry.next = range.next;
      if (feed.closed()) end({EndReason::channel_closed, "the channel was closed"});
      return;
    }
    const IoResult written = carrier_.try_write(sendable.buffers);
    if (written.state == IoResult::State::moved) {
      last_sent_ = shard_.now();
      shard_.counters().bytes_sent.add(written.bytes);
      if (written.bytes == range.bytes) {
        shard_.counters().messages_sent.add(range.messages);
        last_begun_ = range.last;
        entry.next = range.next;
        if (range.more) return entry.feed->again(entry);
        if (feed.closed()) end({EndReason::channel_closed, "the channel was closed"});
        return;
      }
    } else if (written.state != IoResult::State::would_block) {
      return broken(EndReason::peer_left);
    }
    if (const auto begun = written.bytes + carrier_.committed()) stop_inside(range, written.bytes, begun);
    block();
  }

  void lagging(Entry&) final {
    keep_little();
    fall_behind();
  }

  void let_go(const EncodedUse& use) final {
    if (partial_ && partial_->belongs_to(use)) broken(EndReason::too_slow);
  }

  void expired() override {
    const TimePoint now = shard_.update_now();
    // This comes at least once in a heartbeat: a peer that can't be reached is gone within three.
    const std::chrono::milliseconds unreachable = std::max(options_.heartbeat * 3 / 2, shortest_silence);
    if (carrier_.unacknowledged() >= unreachable) return broken(EndReason::timed_out);
    if (!blocked_) return keep_alive(now);
    const auto stuck = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_sent_);
    if (stuck >= options_.write_timeout) {
      shard_.counters().write_timeouts.add();
      return broken(EndReason::timed_out);
    }
    shard_.set(*this, std::min(options_.write_timeout - stuck, options_.heartbeat));
  }

 protected:
  Carrier& carrier() const { return carrier_; }
  Shard& shard() const { return shard_; }
  const StreamOptions& options() const { return options_; }
  TimePoint last_sent() const { return last_sent_; }
  TimePoint last_heard() const { return last_heard_; }
  void heard() { last_heard_ = shard_.now(); }
  bool blocked() const { return blocked_; }

  /// No more messages; done once what waits has been sent.
  void finish(const Ending& ending) {
    if (ending_) return;
    decide(ending);
    entry_.leave();
    if (!blocked_) flush();
  }

  void broken(EndReason reason) {
    done_ = true;
    if (!ending_) decide({reason});
    carrier_.session_broken(reason_);
  }

  /// Room for control frames, which go between messages; `flush_control` sends them.
  std::string& control() { return control_; }
  void flush_control() {
    if (!blocked_) flush();
  }

  /// What is done when the heartbeat interval is over.
  virtual void keep_alive(TimePoint now) {
    const auto idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_sent_);
    // The wheel rounds up by at most an eighth of the interval: a little less than one counts as a whole one.
    if (idle < options_.heartbeat - options_.heartbeat / 8) return shard_.set(*this, options_.heartbeat - idle);
    shard_.set(*this, options_.heartbeat);
    if (ending_) return;
    ops_.heartbeat(control_);
    flush();
  }

 private:
  ChannelState& channel() const { return *entry_.feed->owner().channel(); }

  // What comes first is why the stream ends: one that is too slow may well not take its last bytes either.
  void decide(const Ending& ending) {
    ending_ = true;
    reason_ = ending.reason;
    if (reason_ == EndReason::too_slow) count(channel().counts.drops);
    if (reason_ == EndReason::gap) count_gap();
    carrier_.session_ends(ending);
  }

  static void count(std::atomic<std::uint64_t>& figure) { figure.fetch_add(1, std::memory_order_relaxed); }
  void count_gap() {
    count(channel().counts.gaps);
    shard_.counters().gaps.add();
  }

  // First the message that was cut, then what is meant for this peer, then the log. False when it can't go on now,
  // or when the session is over.
  bool flush() {
    if (done_) return false;
    if (partial_) {
      if (!write(partial_->bytes() + partial_begin_, partial_end_ - partial_begin_, partial_begin_)) return false;
      partial_ = {};
      hold_.reset();
    }
    if (control_sent_ < control_.size()) {
      if (!write(control_.data() + control_sent_, control_.size() - control_sent_, control_sent_)) return false;
    }
    if (!control_.empty()) {
      control_ = std::string();
      control_sent_ = 0;
    }
    if (!ending_) return true;
    done_ = true;
    carrier_.session_done(reason_);
    return false;
  }

  template <class Count>
  bool write(const char* bytes, std::size_t size, Count& done) {
    const net::const_buffer buffer(bytes, size);
    const IoResult written = carrier_.try_write({&buffer, 1});
    if (written.state == IoResult::State::moved) {
      last_sent_ = shard_.now();
      shard_.counters().bytes_sent.add(written.bytes);
      done = static_cast<Count>(done + written.bytes);
      if (written.bytes == size) return true;
    } else if (written.state != IoResult::State::would_block) {
      broken(EndReason::peer_left);
      return false;
    }
    block();
    return false;
  }

  void resume() {
    if (flush() && entry_.feed) advance(entry_);
  }

  void block() {
    if (!blocked_) {
      last_sent_ = shard_.now();
      shard_.set(*this, std::min(options_.write_timeout, options_.heartbeat));
    }
    blocked_ = true;
    if (entry_.feed) entry_.feed->stall(entry_);
    carrier_.await_writable();
  }

  // The peer took `bytes` of the range, and the stream is committed to `begun` of it: the messages that these reach
  // into have begun, and what is left of them is kept until it is finished.
  void stop_inside(const Range& range, std::size_t bytes, std::size_t begun) {
    std::string rest;  // of several pieces, which only a stream that commits itself to more than it sends leaves
    for (auto piece = range.pieces.begin(); begun > 0; ++piece) {
      const Segment& segment = *piece->segment;
      const auto cut = static_cast<std::uint32_t>(piece->begin + std::min<std::size_t>(bytes, piece->size()));
      const auto end = static_cast<std::uint32_t>(piece->begin + std::min<std::size_t>(begun, piece->size()));
      bytes -= cut - piece->begin;
      begun -= end - piece->begin;
      Position next = piece->last;  // the first that has not begun
      if (end < piece->end) next = segment.at_byte(end, piece->first, piece->last);
      if (end < piece->end && end > segment.begin_of(next)) ++next;
      shard_.counters().messages_sent.add(segment.messages(piece->first, next));
      entry_.next = next;
      last_begun_ = segment.last_message(next);
      const std::uint32_t kept = segment.begin_of(next);
      if (begun == 0 && rest.empty() && kept > cut) {
        partial_ = piece->segment;
        partial_begin_ = cut;
        partial_end_ = kept;
      } else {
        rest.append(segment.bytes() + cut, kept - cut);
      }
    }
    if (rest.empty()) return;
    partial_ = Segment::copy(0, rest);
    partial_begin_ = 0;
    partial_end_ = static_cast<std::uint32_t>(rest.size());
  }

  // Past the lag bound: the rest of a message that the peer has begun to take must not keep a whole segment that its
  // cache will drop. A little is copied out; more is counted, and let go of when there is too much of it.
  void keep_little() {
    if (!partial_ || partial_->is_copy() || hold_) return;
    const std::uint32_t left = partial_end_ - partial_begin_;
    if (left > copied_at_most) {
      hold_ = std::make_unique<Hold>(*this);
      return shard_.pin(*hold_);
    }
    partial_ = Segment::copy(0, {partial_->bytes() + partial_begin_, left});
    partial_begin_ = 0;
    partial_end_ = left;
  }

  // Messages are out of the subscriber's reach: by a jump of the log, by its own lag, or because the backlog that it
  // asked for was evicted.
  void fall_behind() {
    if (blocked_ && skips()) return;  // once the peer takes bytes again, and as far as need be then
    channel().note_lag(entry_.next, entry_.joined);
    const bool jumped = entry_.next <= channel().reset_through();
    if (!jumped && channel().options().lag_policy == LagPolicy::disconnect) {
      return end({EndReason::too_slow, "too far behind"});
    }
    if (!ops_.tells_gaps) {
      return end(jumped ? Ending{EndReason::gap, "messages were lost"} : Ending{EndReason::too_slow, "too far behind"});
    }
    if (!jumped) {
      count(channel().counts.skips);
      shard_.counters().skips.add();
    }
    const std::string last = channel().id_of(last_begun_).to_string();
    entry_.next = jumped ? channel().resume_earliest() : channel().resume_newest();
    entry_.joined = std::max(entry_.joined, entry_.next);
    tell_gap(last);
    resume();
  }

  bool skips() const {
    return ops_.tells_gaps &&
           (channel().options().lag_policy == LagPolicy::skip || entry_.next <= channel().reset_through());
  }

  void tell_gap(std::string_view requested) {
    if (!ops_.tells_gaps) return end({EndReason::gap, "messages were lost"});
    const std::string cursor = channel().cursor_before(entry_.next).to_string();
    const auto following = channel().first_live(entry_.next);
    const std::string earliest = following ? following->to_string() : cursor;
    ops_.gap(control_, {requested, cursor, earliest});
    last_begun_ = entry_.next - 1;
    count_gap();
  }

  static constexpr std::uint32_t copied_at_most = 1024;
  static constexpr std::chrono::milliseconds shortest_silence{500};  // systems put acknowledgements off by up to 200 ms

  Carrier& carrier_;
  Shard& shard_;
  const StreamOps& ops_;
  const StreamOptions& options_;
  Entry entry_;
  Position last_begun_ = 0;  // the last message that the peer has begun to receive, or the position of its cursor
  SegmentRef partial_;       // the segment of a message that was sent in part
  std::uint32_t partial_begin_ = 0;
  std::uint32_t partial_end_ = 0;
  std::unique_ptr<Hold> hold_;  // while it may be the last to keep its segment
  std::string control_;
  std::size_t control_sent_ = 0;
  TimePoint last_sent_{};
  TimePoint last_heard_{};
  bool blocked_ = false;
  bool ending_ = false;
  bool done_ = false;
  EndReason reason_ = EndReason::peer_left;
};

}  // namespace detail
}  // namespace downlink
