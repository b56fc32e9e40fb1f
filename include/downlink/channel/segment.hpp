#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <downlink/channel/log.hpp>

namespace downlink::detail {

class Segment;

/// Bytes that a channel's encodings take, over all of its wire forms.
struct EncodedUse {
  /// Of the segments in the caches.
  std::atomic<std::size_t> cached{0};
  /// Of those that were dropped from a cache and that stalled readers still hold.
  std::atomic<std::size_t> pinned{0};
};

/// Shares one segment. Copies count atomically: a segment is held by its cache and by whoever is stalled inside it.
class SegmentRef {
 public:
  SegmentRef() = default;
  explicit SegmentRef(Segment* adopted) : segment_(adopted) {}
  SegmentRef(const SegmentRef& other) noexcept;
  SegmentRef(SegmentRef&& other) noexcept : segment_(std::exchange(other.segment_, nullptr)) {}
  SegmentRef& operator=(SegmentRef other) noexcept {
    std::swap(segment_, other.segment_);
    return *this;
  }
  ~SegmentRef();

  Segment* operator->() const { return segment_; }
  Segment& operator*() const { return *segment_; }
  explicit operator bool() const { return segment_ != nullptr; }
  friend bool operator==(const SegmentRef&, const SegmentRef&) = default;

 private:
  Segment* segment_ = nullptr;
};

/// Messages in one wire form, in order: bytes that are written once and then immutable, and an index from position to
/// byte. One block of memory, whose tail may still be appended to, under the encoded log's lock, while other threads
/// read what was there before: nothing that has been written ever moves.
///
/// The index has, from its front on, where each message ends. While the messages stand side by side from the first
/// position on, that is all. Each one behind the first that does not also has, from the index's back on, how far from
/// the first position it stands: those far apart, as where the ones between were superseded, share a segment too.
class Segment {
 public:
  static SegmentRef make(Position first, std::uint64_t deaths, std::uint32_t capacity, std::uint32_t slots,
                         std::shared_ptr<EncodedUse> use = {}) {
    const std::size_t index = sizeof(std::uint32_t) * slots;
    void* memory = ::operator new(sizeof(Segment) + index + capacity);
    return SegmentRef(new (memory) Segment(first, deaths, capacity, slots, std::move(use)));
  }
  /// A segment of one message, or of a part of one.
  static SegmentRef copy(Position position, std::string_view encoded) {
    auto made = make(position, 0, static_cast<std::uint32_t>(encoded.size()), 1);
    made->append(position, encoded);
    return made;
  }

  Position first() const { return first_; }
  Position end() const { return end_; }
  std::uint64_t deaths() const { return deaths_; }
  std::uint32_t size() const { return size_; }
  /// How many messages there are in [first, last): positions that were dead when it was encoded, or that the form has
  /// no bytes for, have none.
  std::uint32_t messages(Position first, Position last) const { return before(last) - before(first); }
  /// The last message before `end`; there must be one.
  Position last_message(Position end) const { return position_of(before(end) - 1); }
  /// Where `count` messages from `first` on have been passed; there must be more.
  Position skip(Position first, std::uint32_t count) const { return position_of(before(first) + count); }
  std::size_t footprint() const { return sizeof(Segment) + sizeof(std::uint32_t) * slots_ + capacity_; }
  /// Whether it is one of those that `use` counts as pinned.
  bool is_pinned(const EncodedUse& use) const { return dropped_ && use_.get() == &use; }

  /// Its cache has it, or lets go of it: from then on it is counted as pinned for as long as somebody holds it.
  void count_cached() { use_->cached += footprint(); }
  void count_dropped() {
    use_->cached -= footprint();
    use_->pinned += footprint();
    dropped_ = true;
  }

  /// Where the message at `position` begins; its end is where the next one begins.
  std::uint32_t begin_of(Position position) const {
    const std::uint32_t messages = before(position);
    return messages == 0 ? 0 : index()[messages - 1];
  }
  std::uint32_t end_of(Position position) const { return begin_of(position + 1); }
  const char* bytes() const { return reinterpret_cast<const char*>(index() + slots_); }

  /// The message within [from, to) that the byte at `offset` belongs to.
  Position at_byte(std::uint32_t offset, Position from, Position to) const {
    const auto* found = std::upper_bound(index() + before(from), index() + before(to), offset);
    return position_of(static_cast<std::uint32_t>(found - index()));
  }

  /// Appends the encoding of `position`, which is behind what there is; there is no message where it has no bytes.
  /// False when it does not fit.
  bool append(Position position, std::string_view encoded) {
    const std::uint32_t count = count_.load(std::memory_order_relaxed);
    const Position offset = position - first_;
    std::uint32_t leading = leading_.load(std::memory_order_relaxed);
    if (leading == all && (offset != count || encoded.empty())) leading = count;
    const std::uint32_t apart = leading == all ? 0 : count - leading + 1;
    const bool fits = std::uint64_t{count} + 1 + apart <= slots_ && encoded.size() <= capacity_ - size_ && offset < all;
    if (!fits && !encoded.empty()) return false;
    leading_.store(leading, std::memory_order_relaxed);
    end_ = position + 1;
    if (encoded.empty()) return true;
    std::memcpy(const_cast<char*>(bytes()) + size_, encoded.data(), encoded.size());
    size_ += static_cast<std::uint32_t>(encoded.size());
    index()[count] = size_;
    if (apart > 0) index()[slots_ - apart] = static_cast<std::uint32_t>(offset);
    count_.store(count + 1, std::memory_order_release);
    return true;
  }

 private:
  friend class SegmentRef;

  Segment(Position first, std::uint64_t deaths, std::uint32_t capacity, std::uint32_t slots,
          std::shared_ptr<EncodedUse> use)
      : first_(first), end_(first), deaths_(deaths), capacity_(capacity), slots_(slots), use_(std::move(use)) {}
  ~Segment() {
    if (dropped_) use_->pinned -= footprint();
  }

  static constexpr std::uint32_t all = ~std::uint32_t{0};

  // How many messages there are before `position`.
  std::uint32_t before(Position position) const {
    const Position offset = position - first_;
    const std::uint32_t leading = leading_.load(std::memory_order_relaxed);
    if (offset <= leading) return static_cast<std::uint32_t>(offset);
    const auto apart = std::make_reverse_iterator(index() + slots_);
    const auto end = apart + (count_.load(std::memory_order_acquire) - leading);
    return leading + static_cast<std::uint32_t>(std::lower_bound(apart, end, offset) - apart);
  }
  Position position_of(std::uint32_t message) const {
    const std::uint32_t leading = leading_.load(std::memory_order_relaxed);
    return first_ + (message < leading ? message : index()[slots_ - 1 - (message - leading)]);
  }

  std::uint32_t* index() const { return reinterpret_cast<std::uint32_t*>(const_cast<Segment*>(this) + 1); }

  std::atomic<std::uint32_t> references_{1};
  // Both are read while more is appended: the messages, and how many of them stand side by side from the first position
  // on, which is all until it is decided, before anybody is given what follows.
  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> leading_{all};
  std::uint32_t size_ = 0;
  Position first_;
  Position end_;
  std::uint64_t deaths_;
  std::uint32_t capacity_;
  std::uint32_t slots_;               // of the index
  std::atomic<bool> dropped_{false};  // written while whoever holds it looks
  std::shared_ptr<EncodedUse> use_;
};

inline SegmentRef::SegmentRef(const SegmentRef& other) noexcept : segment_(other.segment_) {
  if (segment_) segment_->references_.fetch_add(1, std::memory_order_relaxed);
}

inline SegmentRef::~SegmentRef() {
  if (segment_ && segment_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    segment_->~Segment();
    ::operator delete(segment_);
  }
}

}  // namespace downlink::detail
