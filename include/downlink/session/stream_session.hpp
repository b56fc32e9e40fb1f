#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <downlink/misuse.hpp>
#include <downlink/session/carrier.hpp>
#include <downlink/session/control_bytes.hpp>
#include <downlink/session/feed.hpp>
#include <downlink/session/peer.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/session/stream.hpp>
#include <downlink/transport/transport.hpp>

namespace downlink::detail {

/// One subscriber of one channel over a stream: it sends ranges of the encoded log from its cursor on, and between
/// messages what is meant for this peer alone. It has no queue of messages and takes no memory when its peer is slow.
/// Most are idle most of the time: what is needed only while something goes on is allocated then.
class StreamSession : public Subscriber, private Hold {
 public:
  StreamSession(Carrier& carrier, const StreamOps& ops) : carrier_(carrier), ops_(ops), entry_(*this) {}
  virtual ~StreamSession() = default;

  const StreamOps& ops() const { return ops_; }

  /// Subscribes; nothing where the channel has no room for it.
  std::optional<StartPoint> join(Feed& feed, const StartRequest& start, DefaultStart otherwise) {
    return entry_.join(feed.form(ops_.form, ops_.limits), start, otherwise);
  }

  /// Sends the response's head, the opening and what is there.
  void open(std::string head, const StartPoint& begin, const StartRequest& start) {
    last_sent_ = shard().update_now();
    shard().set(*this, options().heartbeat);
    control() = std::move(head);
    const std::string cursor = channel().cursor_before(entry_.next).to_string();
    const Opening opening{.cursor = begin.gap ? std::string_view{} : cursor, .retry = options().retry};
    if (!add([&](std::string& out) { ops_.open(out, opening); })) return;
    last_begun_ = entry_.next - 1;
    if (begin.gap) tell_gap(start.cursor);
    resume();
  }

  /// Takes what the peer sent. False where this stream takes no input.
  virtual bool receive(std::span<char>) { return false; }
  /// Whether the peer is not to be read from for now.
  virtual bool holds_input() const { return false; }
  /// Whether more may be read now.
  virtual bool takes_input() const { return !holds_input(); }
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
    if (queued() + message.data.size() > options().max_peer_queue) {
      end({EndReason::too_slow, "replies are not taken"});
      return false;
    }
    if (!add([&](std::string& out) { ops_.reply(out, message); })) return false;
    if (!blocked_) flush();
    return true;
  }

  /// Bytes that wait for this peer alone.
  std::size_t queued() const { return control_ ? control_->waiting() : 0; }

  /// Ends the stream after the message that is being sent.
  void end(const Ending& ending) {
    if (ending_) return;
    const auto failure = try_add([&](std::string& out) { ops_.end(out, ending); });
    if (failure) carrier_.transport_failed(failure);
    finish(ending);
  }
  bool ending() const { return ending_; }

  /// The connection is gone: nothing more is written, and nobody is told.
  void abandon() {
    done_ = ending_ = true;
    entry_.leave();
    Subscriber::unlink();
    drop_partial();
  }

  void advance(Entry& entry) final {
    if (blocked_) return entry.feed->stall(entry);
    if (entry.past_lag()) return fall_behind();
    const auto& sendable = entry.feed->range(entry.next);
    if (!sendable.plain) return advance_at_border(entry, sendable);
    send(entry, sendable);
  }

  void lagging(Entry&) final {
    keep_little();
    if (Hold::linked()) shard().look_at_pinned(entry_.feed->owner().channel());
    fall_behind();
  }

  int socket_to_send() const final { return blocked_ ? -1 : carrier_.socket_to_send(); }

  bool sent(Entry& entry, const Sendable& sendable, const IoResult& written) final {
    if (written.state != IoResult::State::moved || written.bytes != sendable.range.bytes) {
      return sent_less(sendable.range, written);
    }
    sent_all(entry, sendable.range);
    return true;
  }

  void lost(Entry&) final { broken(reason_); }

  void expired() override {
    const TimePoint now = shard().update_now();
    // This comes at least once in a heartbeat: a peer that can't be reached is gone within three.
    const std::chrono::milliseconds unreachable = std::max(options().heartbeat * 3 / 2, shortest_silence);
    if (carrier_.unacknowledged() >= unreachable) {
      // Where the loop was held up, what was sent a moment ago may be all that waits: it is looked at once more.
      if (std::exchange(unreached_, true)) return broken(EndReason::timed_out);
      return shard().set(*this, std::max(options().heartbeat / 8, shortest_silence / 2));
    }
    unreached_ = false;
    // Where every write completes later, one that has only just begun does not say that the peer takes nothing.
    const auto begun = std::min(options().write_timeout, options().heartbeat) / 8;
    const bool moves = !carrier_.peer_took() && now - last_sent_ < begun;
    if (!blocked_ || moves) {
      keep_alive(now);
      if (blocked_ && Subscriber::linked() && shard().left(*this) > until_look()) shard().set(*this, until_look());
      return;
    }
    // The system has room for more only once the peer has taken tens of kilobytes. What ends gets no such grace.
    if (!ending_ && carrier_.took_some(untaken_)) last_sent_ = now;
    const auto stuck = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_sent_);
    if (stuck >= options().write_timeout) {
      shard().counters().write_timeouts.add();
      return broken(EndReason::timed_out);
    }
    shard().set(*this, std::min(options().write_timeout - stuck, until_look()));
  }

 protected:
  Carrier& carrier() const { return carrier_; }
  Shard& shard() const { return carrier_.shard(); }
  const StreamOptions& options() const { return carrier_.stream_options(); }

  /// No more messages; done once what waits has been sent.
  void finish(const Ending& ending) {
    if (ending_) return;
    decide(ending);
    entry_.leave();
    if (blocked_) return keep_little();
    flush();
  }

  void broken(EndReason reason) {
    done_ = true;
    if (!ending_) decide({reason});
    carrier_.session_broken(reason_);
  }

  /// Room for control frames, which go between messages; `flush_control` sends them.
  std::string& control() {
    if (!control_) control_ = std::make_unique<ControlBytes>();
    return control_->bytes;
  }
  void flush_control() {
    if (!blocked_) flush();
  }

  /// What is done when the heartbeat interval is over.
  virtual void keep_alive(TimePoint now) {
    const auto idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_sent_);
    // The wheel rounds up by at most an eighth of the interval: a little less than one counts as a whole one.
    const auto interval = options().heartbeat;
    if (idle < interval - interval / 8) return shard().set(*this, interval - idle);
    shard().set(*this, interval);
    if (ending_) return;
    if (add([&](std::string& out) { ops_.heartbeat(out); })) flush();
  }

 private:
  ChannelState& channel() const { return *entry_.feed->owner().channel(); }

  // What comes first is why the stream ends: one that is too slow may well not take its last bytes either.
  void decide(const Ending& ending) {
    ending_ = true;
    reason_ = ending.reason;
    if (ends_in_time()) last_sent_ = shard().update_now();
    if (reason_ == EndReason::too_slow) count(channel().counts.drops);
    if (reason_ == EndReason::gap) count_gap();
    carrier_.session_ends(ending);
  }

  // Whether what is still to be sent has to be taken within the write deadline of the end's being decided (WIRE §7,
  // §8); else the peer may take as long as it likes while it takes something.
  bool ends_in_time() const {
    return ending_ && (reason_ == EndReason::too_slow || reason_ == EndReason::authorization_expired);
  }

  static void count(std::atomic<std::uint64_t>& figure) { figure.fetch_add(1, std::memory_order_relaxed); }
  void count_gap() {
    count(channel().counts.gaps);
    shard().counters().gaps.add();
  }

  // Adds what goes to this peer alone. Where the transport throws, nothing of it is added, and the stream ends.
  template <class Function>
  bool add(Function function) {
    const auto failure = try_add(function);
    if (!failure) return true;
    failed(failure);
    return false;
  }
  template <class Function>
  std::exception_ptr try_add(Function function) {
    const std::size_t size = control_ ? control_->bytes.size() : 0;
    auto failure = thrown_by([&] { function(control()); });
    if (failure && control_) control_->bytes.resize(size);
    return failure;
  }

  [[gnu::cold]] void failed(const std::exception_ptr& failure) {
    const auto kept = failure;  // whoever is told may do anything
    carrier_.transport_failed(kept);
    end({EndReason::internal_error, "a transport failed"});
  }

  // All of a delivery, mostly. False when the peer did not take everything, or is gone.
  [[gnu::always_inline]] bool send(Entry& entry, const Sendable& sendable) {
    const Range& range = sendable.range;
    const IoResult written = carrier_.try_write(sendable.buffers);
    if (written.state == IoResult::State::moved && written.bytes == range.bytes) {
      sent_all(entry, range);
      return true;
    }
    if (!sent_less(range, written)) broken(reason_);
    return false;
  }

  [[gnu::always_inline]] void sent_all(Entry& entry, const Range& range) {
    Shard& shard = carrier_.shard();
    last_sent_ = shard.now();
    shard.counters().bytes_sent.add(range.bytes);
    shard.counters().messages_sent.add(range.messages);
    last_begun_ = range.last;
    entry.next = range.next;
  }

  // False when the peer is gone. So is, for us, one for which there is no memory: nobody would finish the message that
  // it was sent a part of, or wait until it takes more.
  [[gnu::cold]] bool sent_less(const Range& range, const IoResult& written) {
    if (written.state == IoResult::State::moved) {
      last_sent_ = shard().now();
      shard().counters().bytes_sent.add(written.bytes);
    } else if (written.state != IoResult::State::would_block) {
      return false;
    }
    const auto failure = thrown_by([&] {
      if (const auto begun = written.bytes + carrier_.committed()) stop_inside(range, written.bytes, begun);
      block();
    });
    if (failure) reason_ = EndReason::internal_error;
    return !failure;
  }

  // Nothing to send, more to send than at once, or the channel's end.
  void advance_at_border(Entry& entry, const Sendable& sendable) {
    const Range& range = sendable.range;
    if (range.lost) return fall_behind();
    if (sendable.failure) return failed(sendable.failure);
    if (sendable.buffers.empty()) {
      entry.next = range.next;
    } else if (!send(entry, sendable)) {
      return;
    } else if (range.more) {
      return entry.feed->again(entry);
    }
    if (entry.feed->owner().closed()) end({EndReason::channel_closed, "the channel was closed"});
  }

  // First the message that was cut, then what is meant for this peer, then the log. False when it can't go on now,
  // or when the session is over.
  bool flush() {
    if (done_) return false;
    if (partial_) {
      if (!write(partial_->bytes() + partial_begin_, partial_end_ - partial_begin_, partial_begin_)) return false;
      drop_partial();
    }
    if (control_) {
      control_->drop_sent();
      if (queued() > 0 && !write(control_->bytes.data() + control_->sent, queued(), control_->sent)) return false;
      control_.reset();
    }
    if (!ending_) return true;
    done_ = true;
    Subscriber::unlink();  // how long the connection lingers is not for the heartbeat to say
    carrier_.session_done(reason_);
    return false;
  }

  template <class Count>
  bool write(const char* bytes, std::size_t size, Count& done) {
    const net::const_buffer buffer(bytes, size);
    const IoResult written = carrier_.try_write({&buffer, 1});
    if (written.state == IoResult::State::moved) {
      if (!ends_in_time()) last_sent_ = shard().now();
      shard().counters().bytes_sent.add(written.bytes);
      done = static_cast<Count>(done + written.bytes);
      if (written.bytes == size) return true;
    } else if (written.state != IoResult::State::would_block) {
      broken(EndReason::peer_left);
      return false;
    }
    if (thrown_by([this] { block(); })) broken(EndReason::internal_error);
    return false;
  }

  void resume() {
    if (!blocked_ && flush() && entry_.feed) advance(entry_);
  }

  // How long until it is looked whether a peer that is waited for takes bytes.
  std::chrono::milliseconds until_look() const { return std::min(options().write_timeout / 8, options().heartbeat); }

  void block() {
    if (!blocked_) {
      if (!ends_in_time()) last_sent_ = shard().update_now();
      untaken_ = Carrier::not_known;
      // Never later than it was to be: who blocks and goes on over and over is looked after as well.
      if (!Subscriber::linked() || shard().left(*this) > until_look()) shard().set(*this, until_look());
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
      shard().counters().messages_sent.add(segment.messages(piece->first, next));
      entry_.next = next;
      last_begun_ = segment.last_message(next);
      const std::uint32_t kept = segment.begin_of(next);
      if (begun == 0 && rest.empty() && kept > cut) {
        partial_ = piece->segment;
        partial_begin_ = cut;
        partial_end_ = kept;
        shard().pin(*this);
      } else {
        rest.append(segment.bytes() + cut, kept - cut);
      }
    }
    if (!rest.empty()) keep_copy(rest);
    // A backlog that it asked for is no lag of its own, but what it is read from goes as soon as others read on.
    if (entry_.next > entry_.feed->owner().floor()) return;
    keep_little();
    if (Hold::linked()) shard().look_at_pinned(entry_.feed->owner().channel());
  }

  // Behind the live tail, or ended: the rest of a message that the peer has begun to take must not keep a whole segment
  // that its cache will drop. A little is copied out, if there is memory for it; more is counted, and let go of when
  // there is too much of it.
  void keep_little() {
    const std::uint32_t left = partial_end_ - partial_begin_;
    if (!Hold::linked() || left > copied_at_most) return;
    thrown_by([&] { keep_copy({partial_->bytes() + partial_begin_, left}); });
  }

  // It is in its shard's list of holds while what is left of a message that was cut keeps one of the cache's segments.
  void let_go(const EncodedUse& use) final {
    if (!partial_->is_pinned(use)) return;
    keep_little();
    if (Hold::linked()) broken(EndReason::too_slow);
  }

  void keep_copy(std::string_view rest) {
    partial_ = Segment::copy(0, rest);
    partial_begin_ = 0;
    partial_end_ = static_cast<std::uint32_t>(rest.size());
    Hold::unlink();
  }

  void drop_partial() {
    partial_ = {};
    Hold::unlink();
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
    const std::string last = channel().id_of(last_begun_).to_string();
    bool passed_over = true;
    if (jumped) {
      entry_.next = channel().resume_earliest();
    } else {
      passed_over = skip();
      // What stood before the live tail counts no more, or it would be behind as before.
      entry_.joined = std::max(entry_.joined, entry_.feed->owner().floor() - 1);
    }
    entry_.joined = std::max(entry_.joined, entry_.next);
    if (passed_over) tell_gap(last);
    // In a later visit: publishers that are faster than this go on being so.
    if (!blocked_ && flush() && entry_.feed) entry_.feed->again(entry_);
  }

  // To the newest message, which may be an old one where those that it was behind by have expired: never back. False
  // where no live message is passed over.
  bool skip() {
    std::vector<RecordPtr> next;
    Position head = 0;
    const bool kept = channel().read_records(entry_.next, 1, 1, next, head);
    const Position first = next.empty() ? head + 1 : next.front()->position;
    entry_.next = std::max(entry_.next, channel().resume_newest());
    if (kept && first >= entry_.next) return false;
    count(channel().counts.skips);
    shard().counters().skips.add();
    return true;
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
    if (!add([&](std::string& out) { ops_.gap(out, {requested, cursor, earliest}); })) return;
    last_begun_ = entry_.next - 1;
    count_gap();
  }

  static constexpr std::uint32_t copied_at_most = 1024;
  static constexpr std::chrono::milliseconds shortest_silence{500};  // systems put acknowledgements off by up to 200 ms

  Carrier& carrier_;
  const StreamOps& ops_;
  Entry entry_;
  Position last_begun_ = 0;  // the last message that the peer has begun to receive, or the position of its cursor
  SegmentRef partial_;       // the segment of a message that was sent in part
  std::uint32_t partial_begin_ = 0;
  std::uint32_t partial_end_ = 0;
  std::unique_ptr<ControlBytes> control_;       // while there is something
  TimePoint last_sent_{};                       // or taken, as far as is known; or when it was decided to end in time
  std::uint32_t untaken_ = Carrier::not_known;  // when it was last looked at
  bool unreached_ = false;                      // likewise
  bool blocked_ : 1 = false;
  bool ending_ : 1 = false;
  bool done_ : 1 = false;
  EndReason reason_ = EndReason::peer_left;
};

}  // namespace downlink::detail
