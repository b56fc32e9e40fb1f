#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <downlink/channel/options.hpp>
#include <downlink/channel/stats.hpp>
#include <downlink/misuse.hpp>

namespace downlink::detail {

/// Where a message stands in a log, over all epochs: unlike offsets, positions never start again. Position 0 is before
/// the first message.
using Position = std::uint64_t;

/// A published message as the log keeps it: immutable, shared with whoever is encoding it.
struct Record {
  Message message;
  Position position = 0;
  MessageId id = {};
  TimePoint published = {};
  TimePoint expires = TimePoint::max();
  /// The first position of the block that this record belongs to: encodings made for a resumer begin there, so that
  /// neighbouring resumers share them.
  Position block = 0;
  /// Bytes of payload that the log had taken before this message.
  std::uint64_t bytes_before = 0;
};

using RecordPtr = std::shared_ptr<const Record>;

/// Where a reader begins: the first position it is to get and, when the log lost messages before it, that it did.
struct StartPoint {
  Position next = 1;
  bool gap = false;
};

/// The canonical log of one channel: records in the order of their positions, in two windows (DESIGN §1). *History* is
/// what a handed-in cursor may ask for; the *live tail* is what connected subscribers may still be behind by. A record
/// is kept while either window has it.
///
/// Not synchronised: the channel holds its lock around every call.
class Log {
 public:
  Log(const ChannelOptions& options, std::uint64_t epoch) : options_(options) { epochs_.push_back({epoch, 0, 0}); }

  Position head() const { return head_; }
  MessageId id_of(Position position) const {
    auto epoch = std::prev(epochs_.end());
    while (epoch != epochs_.begin() && position < epoch->base) --epoch;
    return {epoch->epoch, position - std::min(position, epoch->base) + epoch->offset};
  }
  /// How often a retained message expired or was superseded: encodings made before the last time may hold dead ones.
  std::uint64_t deaths() const { return deaths_; }
  /// The first position of the live tail: a subscriber that has not begun an earlier message lags too far.
  Position tail_first() const { return tail_.first; }
  /// The first position that either window keeps.
  Position retained_first() const { return std::min(history_.first, tail_.first); }
  /// Up to here live messages were removed by the bounds of both windows: who stands before it has lost some.
  Position lost_through() const { return lost_through_; }
  /// Up to here a jump or a new epoch took everything: a cursor before it has a gap, however little it lagged.
  Position reset_through() const { return reset_through_; }
  std::size_t history_messages() const { return history_.messages; }
  std::size_t history_bytes() const { return history_.bytes; }
  /// How many expiries are kept, those of messages that have gone included.
  std::size_t expiries() const { return expiries_.size(); }

  /// Adds the log's part of a channel's figures.
  void tell(ChannelStats& stats) const {
    const Window& longer = longer_window();
    stats.head_offset = id_of(head_).offset;
    stats.history_messages = history_.messages;
    stats.history_bytes = history_.bytes;
    stats.retained_messages = longer.messages;
    stats.retained_bytes = longer.bytes;
    stats.published_messages = published_messages_;
    stats.published_bytes = published_bytes_;
    stats.evicted_messages = evicted_;
    stats.expired_messages = expired_;
    stats.superseded_messages = superseded_;
  }
  /// The payload bytes that a reader is behind who is to get `next` next, as far as they are still kept. Where some
  /// died in between, it may be more, but no more than its window keeps.
  std::uint64_t bytes_behind(Position next) const {
    const Record* record = first_live(next);
    if (!record) return 0;
    const Window& window = next >= tail_.first ? tail_ : longer_window();
    return std::min<std::uint64_t>(published_bytes_ - record->bytes_before, window.bytes);
  }

  /// Keeps the live tail from now on, or lets it go.
  void keep_tail(bool keep) {
    keep_tail_ = keep;
    if (!keep) trim_tail();
  }

  /// Lets go of what neither window keeps any more.
  void trim(TimePoint now, std::vector<RecordPtr>& evicted) {
    trim_history(now);
    trim_tail();
    while (!slots_.empty() && slots_.front().position < retained_first()) {
      auto& slot = slots_.front();
      if (const Record* record = slot.record.get()) {
        evicted.push_back(std::move(slot.record));
        lost_through_ = slot.position;
        ++evicted_;
        drop_key(*record);
      } else {
        --dead_;
      }
      slots_.pop_front();
    }
    if (slots_.empty() || (slots_.back().position == head_ && slots_.size() == head_ - slots_.front().position + 1)) {
      dense_ = true;
    }
  }

  /// Appends under the next offset, evicting what passes the bounds into `evicted` (freed outside the lock). Where it
  /// throws for want of memory, the log is as it was.
  MessageId append(std::shared_ptr<Record> record, TimePoint now, std::vector<RecordPtr>& evicted) {
    record->position = head_ + 1;
    record->id = id_of(record->position);
    record->published = now;
    if (record->message.time_to_live) record->expires = later(now, *record->message.time_to_live);
    const bool expires = record->expires != TimePoint::max();
    if (expires) expiries_.make_room();
    slots_.push_back({record->position, nullptr});
    const Position older = record->message.key ? take_key(*record, evicted) : 0;

    // From here on nothing throws.
    if (expires) expiries_.push({record->expires, record->position});
    const std::size_t size = record->message.data.size();
    if (block_bytes_ + size > block_limit || record->position - block_first_ >= block_messages) {
      block_first_ = record->position;
      block_bytes_ = 0;
    }
    block_bytes_ += size;
    record->block = block_first_;
    record->bytes_before = published_bytes_;
    published_bytes_ += size;
    ++published_messages_;
    head_ = record->position;
    const MessageId id = record->id;
    history_.add(size);
    tail_.add(size);
    slots_.back().record = std::move(record);
    if (older != 0) kill(older, evicted, superseded_);
    // What can't be let go for want of memory goes with the next one.
    thrown_by([&] {
      expire(now, evicted);
      trim(now, evicted);
      if (expiries_.size() > 64 && expiries_.size() / 2 > slots_.size()) forget_expiries();
    });
    return id;
  }

  /// Makes `id` the place of the next appended message. A jump forward in the epoch, or another epoch, drops all that
  /// is retained: each standing cursor then has a gap (DESIGN §7). False for an offset that is not past the head, and
  /// for the last that there is.
  bool seek(MessageId id, std::vector<RecordPtr>& evicted) {
    const MessageId next = id_of(head_ + 1);
    if (id.offset == ~std::uint64_t{0}) return false;
    if (id == next) return true;
    if (id.offset == 0 || (id.epoch == next.epoch && id.offset < next.offset)) return false;
    evicted.reserve(evicted.size() + slots_.size());
    if (id.epoch == next.epoch && id.offset - next.offset < furthest_jump - std::min(head_, furthest_jump)) {
      head_ += id.offset - next.offset;
    } else {
      // One position that no message has begins the epoch, so that a cursor at the old head has a gap too. So it is
      // for a jump that would use the positions up.
      epochs_.push_back({id.epoch, head_ + 1, id.offset - 1});
      ++head_;
      if (epochs_.size() > max_epochs) epochs_.erase(epochs_.begin());
    }
    evicted_ += slots_.size() - dead_;
    for (auto& slot : slots_) evicted.push_back(std::move(slot.record));
    slots_.clear();
    keys_.clear();
    expiries_ = {};
    dead_ = 0;
    history_ = {head_ + 1, 0, 0};
    tail_ = {head_ + 1, 0, 0};
    history_lost_through_ = lost_through_ = reset_through_ = head_;
    block_first_ = head_ + 1;
    block_bytes_ = 0;
    return true;
  }

  /// Lets go what is past its age or its time to live.
  void expire(TimePoint now, std::vector<RecordPtr>& evicted) {
    while (!expiries_.empty() && expiries_.top().at <= now) {
      kill(expiries_.top().position, evicted, expired_);
      expiries_.pop();
    }
    if (options_.history.max_age.count() > 0) trim(now, evicted);
  }

  /// The start for a cursor's text: behind it, or with a gap at the oldest retained message (WIRE §1).
  StartPoint start_at_cursor(std::string_view cursor) const {
    const auto id = MessageId::parse(cursor);
    const auto& epoch = epochs_.back();
    if (!id || id->epoch != epoch.epoch || id->offset < epoch.offset) return {history_.first, true};
    const Position position = id->offset - epoch.offset + epoch.base;
    if (position > head_ || position < history_lost_through_) return {history_.first, true};
    return {std::max(position + 1, history_.first), false};
  }

  StartPoint start_latest() const { return {head_ + 1, false}; }
  StartPoint start_earliest() const { return {history_.first, false}; }

  /// `count` retained messages before the end, or as many as there are.
  StartPoint start_before_end(std::uint64_t count) const {
    Position next = head_ + 1;
    if (dense_ && dead_ == 0 && !slots_.empty()) {
      return {next - std::min(count, next - std::max(history_.first, slots_.front().position)), false};
    }
    for (auto slot = slots_.end(); slot != slots_.begin() && count > 0;) {
      --slot;
      if (slot->position < history_.first) break;
      if (!slot->record) continue;
      next = slot->position;
      --count;
    }
    return {next, false};
  }

  /// The live records from `from` on: at most `max_records`, and no further one once `max_bytes` of payload is reached.
  void collect(Position from, std::size_t max_records, std::size_t max_bytes, std::vector<RecordPtr>& out) const {
    for (auto slot = find(from); slot != slots_.end() && max_records > 0 && max_bytes > 0; ++slot) {
      if (!slot->record) continue;
      out.push_back(slot->record);
      --max_records;
      max_bytes -= std::min(max_bytes, slot->record->message.data.size() + record_cost);
    }
  }

  /// The first live record at or after `from`; null when there is none.
  const Record* first_live(Position from) const {
    for (auto slot = find(from); slot != slots_.end(); ++slot) {
      if (slot->record) return slot->record.get();
    }
    return nullptr;
  }

  /// Calls `run(first, last)` for each maximal run [first, last) of live positions within [from, to).
  template <class Run>
  void live_runs(Position from, Position to, Run&& run) const {
    Position first = from;
    Position last = from;
    for (auto slot = find(from); slot != slots_.end() && slot->position < to; ++slot) {
      if (!slot->record) continue;
      if (slot->position != last) {
        if (first != last) run(first, last);
        first = slot->position;
      }
      last = slot->position + 1;
    }
    if (first != last) run(first, last);
  }

 private:
  struct Slot {
    Position position;
    RecordPtr record;  // null: expired or superseded
  };
  struct Expiry {
    TimePoint at;
    Position position;
  };
  struct Later {
    bool operator()(const Expiry& left, const Expiry& right) const { return left.at > right.at; }
  };
  struct Expiries : std::priority_queue<Expiry, std::vector<Expiry>, Later> {
    using priority_queue::priority_queue;
    /// The next push does not throw.
    void make_room() {
      if (c.size() == c.capacity()) c.reserve(2 * c.size() + 1);
    }
  };
  struct Epoch {
    std::uint64_t epoch;
    Position base;         // the position before its first message
    std::uint64_t offset;  // and that position's offset
  };
  struct Window {
    Position first = 1;
    std::size_t messages = 0;  // live ones
    std::size_t bytes = 0;

    void add(std::size_t size) {
      ++messages;
      bytes += size;
    }
    void remove(Position position, std::size_t size) {
      if (position < first) return;
      --messages;
      bytes -= size;
    }
  };

  const Window& longer_window() const { return history_.first <= tail_.first ? history_ : tail_; }

  // The sum, or the end of time where there is none. Less than no wait is none.
  static TimePoint later(TimePoint time, std::chrono::milliseconds wait) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(TimePoint::max() - time);
    return wait < left ? time + std::max(wait, std::chrono::milliseconds::zero()) : TimePoint::max();
  }

  static constexpr std::size_t block_limit = std::size_t{64} << 10;
  static constexpr std::size_t block_messages = 256;
  static constexpr std::size_t record_cost = 16;
  static constexpr std::size_t max_epochs = 16;
  static constexpr Position furthest_jump = Position{1} << 62;

  std::deque<Slot>::const_iterator find(Position position) const {
    if (slots_.empty() || position <= slots_.front().position) return slots_.begin();
    const auto index = position - slots_.front().position;
    if (dense_) return slots_.begin() + static_cast<std::ptrdiff_t>(std::min<Position>(index, slots_.size()));
    return std::lower_bound(slots_.begin(), slots_.end(), position,
                            [](const Slot& slot, Position wanted) { return slot.position < wanted; });
  }

  // Makes a record, whose slot is the last, the newest of its key, and room for the one that it supersedes, whose
  // position it gives, or 0. Where that throws, the slot is gone.
  Position take_key(const Record& record, std::vector<RecordPtr>& evicted) {
    struct Undo {
      ~Undo() {
        if (slots) slots->pop_back();
      }
      std::deque<Slot>* slots;
    } undo{&slots_};
    const auto [entry, first] = keys_.try_emplace(*record.message.key, record.position);
    if (!first) evicted.reserve(evicted.size() + 1);
    undo.slots = nullptr;
    return first ? 0 : std::exchange(entry->second, record.position);
  }

  void kill(Position position, std::vector<RecordPtr>& evicted, std::uint64_t& count) {
    const auto found = find(position);
    if (found == slots_.end() || found->position != position || !found->record) return;
    auto& slot = slots_[static_cast<std::size_t>(found - slots_.begin())];
    const Record& record = *slot.record;
    evicted.push_back(std::move(slot.record));  // first: it may throw
    const std::size_t size = record.message.data.size();
    history_.remove(position, size);
    tail_.remove(position, size);
    drop_key(record);
    ++count;
    ++deaths_;
    ++dead_;
    if (dead_ > 64 && dead_ > slots_.size() / 2) compact();
  }

  // Dead slots are taken out once they are the majority: their cost stays constant over the messages published.
  void compact() {
    std::size_t kept = 0;
    for (auto& slot : slots_) {
      if (slot.record) slots_[kept++] = std::move(slot);
    }
    while (slots_.size() > kept) slots_.pop_back();
    dead_ = 0;
    dense_ = false;
  }

  // Those of messages that went for other reasons, once they are the majority.
  void forget_expiries() {
    std::vector<Expiry> kept;
    for (const auto& slot : slots_) {
      const Record* record = slot.record.get();
      if (record && record->expires != TimePoint::max()) kept.push_back({record->expires, record->position});
    }
    expiries_ = Expiries(Later(), std::move(kept));
  }

  void drop_key(const Record& record) {
    if (!record.message.key) return;
    const auto entry = keys_.find(*record.message.key);
    if (entry != keys_.end() && entry->second == record.position) keys_.erase(entry);
  }

  void trim_history(TimePoint now) {
    const auto& bound = options_.history;
    for (auto slot = find(history_.first); slot != slots_.end(); ++slot) {
      const Record* record = slot->record.get();
      const bool newest = slot->position == head_;
      const bool over = history_.messages > bound.max_messages || (history_.bytes > bound.max_bytes && !newest) ||
                        (bound.max_age.count() > 0 && record && later(record->published, bound.max_age) < now);
      if (record && !over) break;
      if (record) {
        history_.remove(slot->position, record->message.data.size());
        history_lost_through_ = slot->position;
      }
      history_.first = slot->position + 1;
    }
  }

  void trim_tail() {
    if (!keep_tail_) {
      tail_ = {head_ + 1, 0, 0};
      return;
    }
    for (auto slot = find(tail_.first); slot != slots_.end() && slot->position != head_; ++slot) {
      // Dead ones at the front stay in the tail: who stands before them lags no more for that.
      if (tail_.bytes <= options_.max_lag && tail_.messages <= options_.max_lag_messages) break;
      if (slot->record) tail_.remove(slot->position, slot->record->message.data.size());
      tail_.first = slot->position + 1;
    }
  }

  const ChannelOptions& options_;
  std::deque<Slot> slots_;
  std::vector<Epoch> epochs_;
  std::unordered_map<std::string, Position> keys_;
  Expiries expiries_;
  Position head_ = 0;
  Window history_;
  Window tail_;
  Position history_lost_through_ = 0;
  Position lost_through_ = 0;
  Position reset_through_ = 0;
  Position block_first_ = 1;
  std::size_t block_bytes_ = 0;
  std::uint64_t deaths_ = 0;
  std::uint64_t published_messages_ = 0;
  std::uint64_t published_bytes_ = 0;
  std::uint64_t evicted_ = 0;
  std::uint64_t expired_ = 0;
  std::uint64_t superseded_ = 0;
  std::size_t dead_ = 0;
  bool dense_ = true;  // no position is missing from the first slot's to the head
  bool keep_tail_ = false;
};

}  // namespace downlink::detail
