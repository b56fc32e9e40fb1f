#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
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

/// Consecutive messages in one wire form: bytes that are written once and then immutable, and an index from position
/// to byte. One block of memory, whose tail may still be appended to, under the encoded log's lock, while other threads
/// read what was there before: nothing that has been written ever moves.
class Segment {
 public:
  static SegmentRef make(Position first, std::uint64_t deaths, std::uint32_t capacity, std::uint32_t max_messages,
                         std::shared_ptr<EncodedUse> use = {}) {
    const std::size_t index = sizeof(std::uint32_t) * max_messages;
    void* memory = ::operator new(sizeof(Segment) + index + capacity);
    return SegmentRef(new (memory) Segment(first, deaths, capacity, max_messages, std::move(use)));
  }
  /// A segment of one message, or of a part of one.
  static SegmentRef copy(Position position, std::string_view encoded) {
    auto made = make(position, 0, static_cast<std::uint32_t>(encoded.size()), 1);
    made->append(position, encoded);
    return made;
  }

  Position first() const { return first_; }
  Position end() const { return first_ + count_; }
  std::uint64_t deaths() const { return deaths_; }
  std::uint32_t size() const { return size_; }
  /// How many messages there are in [first, last): positions that were dead when it was encoded, or that the form has
  /// no bytes for, have none.
  Position messages(Position first, Position last) const {
    Position count = last - first;
    if (!holes_) return count;
    for (Position at = first; at < last; ++at) count -= begin_of(at) == end_of(at);
    return count;
  }
  /// The last message before `end`; there must be one.
  Position last_message(Position end) const {
    while (begin_of(end - 1) == end_of(end - 1)) --end;
    return end - 1;
  }
  std::size_t footprint() const { return sizeof(Segment) + sizeof(std::uint32_t) * max_messages_ + capacity_; }
  bool belongs_to(const EncodedUse& use) const { return use_.get() == &use; }
  bool is_copy() const { return !use_; }

  /// Its cache has it, or lets go of it: from then on it is counted as pinned for as long as somebody holds it.
  void count_cached() { use_->cached += footprint(); }
  void count_dropped() {
    use_->cached -= footprint();
    use_->pinned += footprint();
    dropped_ = true;
  }

  /// Where the message at `position` begins; its end is where the next one begins.
  std::uint32_t begin_of(Position position) const { return position == first_ ? 0 : index()[position - first_ - 1]; }
  std::uint32_t end_of(Position position) const { return index()[position - first_]; }
  const char* bytes() const { return reinterpret_cast<const char*>(index() + max_messages_); }

  /// The message within [from, to) that the byte at `offset` belongs to.
  Position at_byte(std::uint32_t offset, Position from, Position to) const {
    const auto* found = std::upper_bound(index() + (from - first_), index() + (to - first_), offset);
    return first_ + static_cast<Position>(found - index());
  }

  /// Appends the encoding of `position`; positions between the last one and it are empty. False when it does not fit.
  bool append(Position position, std::string_view encoded) {
    const Position slots = position - first_ + 1;
    if (slots > max_messages_ || encoded.size() > capacity_ - size_) return false;
    const bool leaves_holes = count_ + 1 < slots || encoded.empty();
    while (count_ + 1 < slots) index()[count_++] = size_;
    std::memcpy(const_cast<char*>(bytes()) + size_, encoded.data(), encoded.size());
    size_ += static_cast<std::uint32_t>(encoded.size());
    index()[count_++] = size_;
    if (leaves_holes) holes_ = true;
    return true;
  }

 private:
  friend class SegmentRef;

  Segment(Position first, std::uint64_t deaths, std::uint32_t capacity, std::uint32_t max_messages,
          std::shared_ptr<EncodedUse> use)
      : first_(first), deaths_(deaths), capacity_(capacity), max_messages_(max_messages), use_(std::move(use)) {}
  ~Segment() {
    if (dropped_) use_->pinned -= footprint();
  }

  std::uint32_t* index() const { return reinterpret_cast<std::uint32_t*>(const_cast<Segment*>(this) + 1); }

  std::atomic<std::uint32_t> references_{1};
  std::uint32_t count_ = 0;
  std::uint32_t size_ = 0;
  std::atomic<bool> holes_{false};  // read while more is appended
  Position first_;
  std::uint64_t deaths_;
  std::uint32_t capacity_;
  std::uint32_t max_messages_;
  bool dropped_ = false;
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
