#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <downlink/channel/form.hpp>
#include <downlink/channel/segment.hpp>
#include <downlink/misuse.hpp>
#include <downlink/wire/clear_and_shrink.hpp>

namespace downlink::detail {

/// The canonical log and the lock that publishers take.
struct LockedLog {
  mutable std::mutex mutex;
  Log log;
  const Clock* clock;
};

/// Consecutive bytes of one segment that are ready to be sent: its messages in [first, last).
struct Piece {
  SegmentRef segment;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  Position first = 0;
  Position last = 0;

  const char* data() const { return segment->bytes() + begin; }
  std::uint32_t size() const { return end - begin; }
};

/// How much one read may take; at least one message comes whatever its size.
struct ReadLimits {
  static constexpr std::size_t most_pieces = 64;

  std::size_t bytes = std::size_t{256} << 10;
  std::size_t messages = ~std::size_t{0};
  std::size_t pieces = 16;
};

/// What a reader at `from` is to be sent next, as pieces of the encoded log. Reused from read to read.
struct Range {
  Position from = 0;
  /// Where to read on after it.
  Position next = 0;
  /// Its last message, where it has any: those between it and `next` are passed over.
  Position last = 0;
  std::size_t bytes = 0;
  std::size_t messages = 0;
  /// Messages at `from` or later were removed before they could be read: nothing was read.
  bool lost = false;
  /// Whether the limits cut it: more follows.
  bool more = false;
  std::vector<Piece> pieces;

  void clear(Position start) {
    from = next = start;
    bytes = messages = 0;
    lost = more = false;
    pieces.clear();
  }
};

/// One wire form's encodings of a channel's log: a cache of segments, filled on need by whoever reads, under its own
/// lock and never the publisher's.
class EncodedLog {
 public:
  EncodedLog(Form form, LockedLog& source, std::shared_ptr<EncodedUse> use, std::size_t max_cached)
      : form_(form), source_(source), use_(std::move(use)), max_cached_(max_cached) {}

  Form form() const { return form_; }

  /// Fills `range` with what follows `from`, encoding what is not encoded yet, within the limits.
  void read(Position from, const ReadLimits& limits, Range& range) {
    range.clear(from);
    const std::lock_guard own(mutex_);
    const Snapshot now = snapshot();
    range.lost = from <= now.lost_through;
    if (range.lost) return;
    forget_before(now.retained_first);
    Step step = Step::go_on;
    while (step == Step::go_on && range.next <= now.head && !full(range, limits)) {
      const std::size_t found = find(range.next);
      const bool held = found != segments_.size() && segments_[found]->first() <= range.next;
      step = held ? take(found, now, limits, range) : encode(found, now.deaths, range);
    }
    if (step == Step::nothing_left) range.next = now.head + 1;  // what is left was superseded or has expired
    if (step == Step::lost) range.lost = range.pieces.empty();
    range.more = range.next <= now.head;
    if (over_bound()) shed_locked();
  }

  /// Drops the oldest segments, but not the newest, until the channel is within its bound. Does nothing while the
  /// form is in use elsewhere.
  void shed() {
    const std::unique_lock own(mutex_, std::try_to_lock);
    if (own.owns_lock()) shed_locked();
  }

  bool over_bound() const { return use_->cached.load(std::memory_order_relaxed) > max_cached_; }

 private:
  struct Snapshot {
    Position head;
    Position lost_through;
    Position retained_first;
    std::uint64_t deaths;
  };

  /// What to do after a part of a read.
  enum class Step : unsigned char {
    go_on,
    /// No live message is left.
    nothing_left,
    /// The next message does not fit in any more.
    full,
    /// The next messages were evicted since the read began.
    lost,
  };

  static constexpr std::uint32_t smallest_segment = 4 << 10;
  static constexpr std::uint32_t largest_segment = 64 << 10;
  static constexpr std::size_t largest_encoding = ~std::uint32_t{0};
  static constexpr std::uint32_t bytes_per_message = 32;  // the least expected: it decides how large an index is
  static constexpr std::size_t records_at_once = 64;

  Snapshot snapshot() {
    std::vector<RecordPtr> expired;
    const std::lock_guard guard(source_.mutex);
    source_.log.expire(source_.clock->now(), expired);
    return {source_.log.head(), source_.log.lost_through(), source_.log.retained_first(), source_.log.deaths()};
  }

  static bool full(const Range& range, const ReadLimits& limits) {
    return range.bytes >= limits.bytes || range.messages >= limits.messages || range.pieces.size() >= limits.pieces;
  }

  void forget_before(Position retained) {
    while (segments_.size() > 1 && segments_.front()->end() <= retained) drop(0);
  }

  void shed_locked() {
    while (segments_.size() > 1 && over_bound()) drop(0);
  }

  void drop(std::size_t which) {
    segments_[which]->count_dropped();
    segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(which));
  }

  // The index of the first segment that ends after `position`.
  std::size_t find(Position position) const {
    if (!segments_.empty() && segments_.back()->first() <= position) {
      return segments_.back()->end() > position ? segments_.size() - 1 : segments_.size();
    }
    const auto found = std::partition_point(segments_.begin(), segments_.end(),
                                            [&](const SegmentRef& segment) { return segment->end() <= position; });
    return static_cast<std::size_t>(found - segments_.begin());
  }

  // Adds to the range what a segment has from range.next on.
  Step take(std::size_t which, const Snapshot& now, const ReadLimits& limits, Range& range) {
    const SegmentRef& segment = segments_[which];
    Position last = std::min<Position>(segment->end(), now.head + 1);
    const std::size_t messages = limits.messages - range.messages;
    if (segment->messages(range.next, last) > messages) {
      last = segment->skip(range.next, static_cast<std::uint32_t>(messages));
    }
    const std::uint64_t stop = segment->begin_of(range.next) + std::uint64_t{limits.bytes - range.bytes};
    if (segment->end_of(last - 1) > stop) {
      last = segment->at_byte(static_cast<std::uint32_t>(stop), range.next, last);
      if (last == range.next && range.pieces.empty()) ++last;
      if (last == range.next) return Step::full;
    }
    if (segment->deaths() != now.deaths) return take_live(which, last, limits, range);
    add(segment, range.next, last, range);
    range.next = last;
    return Step::go_on;
  }

  // The same where messages expired or were superseded since they were encoded: they are left out. A segment that is
  // mostly dead is dropped, so that it is made again without them.
  Step take_live(std::size_t which, Position last, const ReadLimits& limits, Range& range) {
    const SegmentRef segment = segments_[which];
    Position living = 0;
    Position done = last;
    {
      const std::lock_guard guard(source_.mutex);
      if (range.next <= source_.log.lost_through()) return Step::lost;
      source_.log.live_runs(range.next, last, [&](Position first, Position end) { living += end - first; });
      if (which + 1 == segments_.size() || living * 2 >= segment->messages(range.next, last)) {
        source_.log.live_runs(range.next, last, [&](Position first, Position end) {
          if (range.pieces.size() < limits.pieces) {
            add(segment, first, end, range);
          } else {
            done = std::min(done, first);
          }
        });
        range.next = done;
        return Step::go_on;
      }
    }
    drop(which);
    return Step::go_on;
  }

  static void add(const SegmentRef& segment, Position first, Position last, Range& range) {
    const std::uint32_t begin = segment->begin_of(first);
    const std::uint32_t end = segment->end_of(last - 1);
    if (begin == end) return;
    range.messages += segment->messages(first, last);
    range.bytes += end - begin;
    range.last = segment->last_message(last);
    if (!range.pieces.empty() && range.pieces.back().segment == segment && range.pieces.back().end == begin) {
      range.pieces.back().end = end;
      range.pieces.back().last = last;
    } else {
      range.pieces.push_back({segment, begin, end, first, last});
    }
  }

  // Encodes a bounded amount for range.next, which no segment holds: into the segment before it while there is room,
  // else into new ones before segments_[next]. Moves range.next on to the first live message, or to that segment.
  Step encode(std::size_t next, std::uint64_t deaths, Range& range, bool whole_block = true) {
    const Position until = next == segments_.size() ? ~Position{0} : segments_[next]->first();
    const Position after = next == 0 ? 0 : segments_[next - 1]->end();
    records_.clear();
    bool joins = false;  // nothing live stands between the segment before and what is encoded
    {
      const std::lock_guard guard(source_.mutex);
      if (range.next <= source_.log.lost_through()) return Step::lost;
      const Record* live = source_.log.first_live(range.next);
      if (!live) return Step::nothing_left;
      range.next = std::min(live->position, until);  // a segment of dead ones is dropped, not passed over
      if (range.next == until) return Step::go_on;
      // From the block's beginning, so that others who resume in it share the encoding.
      const Position first = whole_block ? std::max(live->block, after) : live->position;
      source_.log.collect(first, records_at_once, largest_segment, records_);
      joins = next > 0 && source_.log.first_live(after) == records_.front().get();
    }
    SegmentRef segment;
    if (joins) segment = segments_[next - 1];
    for (const auto& record : records_) {
      if (record->position >= until) break;
      scratch_.clear();
      const auto& message = record->message;
      id_ = record->id.to_string();
      const auto encode = [&] { form_->encode(scratch_, {id_, message.event, message.data, message.binary}); };
      if (record->position >= range.next) {
        encode();
      } else if (thrown_by(encode)) {
        // Who comes to it will be told; this reader stands behind it.
        return this->encode(next, deaths, range, false);
      }
      if (scratch_.size() > largest_encoding) scratch_.clear();  // no segment can have it: passed over
      if (segment && segment->append(record->position, scratch_)) continue;
      segment = make_segment(record->position, deaths);
      segment->append(record->position, scratch_);
      segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(next++), segment);
      segment->count_cached();
    }
    records_.clear();
    wire::detail::clear_and_shrink(scratch_, largest_segment);
    return Step::go_on;
  }

  SegmentRef make_segment(Position first, std::uint64_t deaths) {
    const std::uint32_t capacity = std::max(next_capacity_, static_cast<std::uint32_t>(scratch_.size()));
    next_capacity_ = std::min(largest_segment, next_capacity_ * 2);
    return Segment::make(first, deaths, capacity, std::max(capacity, smallest_segment) / bytes_per_message, use_);
  }

  friend class ChannelState;

  std::unique_ptr<EncodedLog> next_;  // the channel's next form
  const Form form_;
  LockedLog& source_;
  const std::shared_ptr<EncodedUse> use_;
  const std::size_t max_cached_;
  std::mutex mutex_;
  std::vector<SegmentRef> segments_;
  std::vector<RecordPtr> records_;
  std::string scratch_;
  std::string id_;
  std::uint32_t next_capacity_ = smallest_segment;
};

}  // namespace downlink::detail
