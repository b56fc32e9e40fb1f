#pragma once

#include <chrono>
#include <utility>

#include <downlink/session/feed.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/transport/polling.hpp>

namespace downlink::detail {

/// A poll that waits for its first messages, for the end of its wait, or for its peer to go. It counts as a subscriber.
class HeldPoll final : public Subscriber {
 public:
  /// There is an answer: messages, a gap, or nothing because the wait is over. The poll is done and may be destroyed.
  using Answer = void (*)(void* owner, Sendable& sendable, bool gap);

  HeldPoll(void* owner, Answer call, Shard& shard) : owner_(owner), answer_(call), shard_(shard), entry_(*this) {}

  const std::shared_ptr<ChannelState>& channel() const { return entry_.feed->owner().channel(); }

  /// Answers at once when there is something, else holds for `wait`. False where the channel has no room for it.
  bool start(Feed& feed, const StartRequest& start, DefaultStart otherwise, std::chrono::milliseconds wait) {
    const auto begin = entry_.join(feed.form(&form_ops<PollElement>, poll_limits), start, otherwise);
    if (!begin) return false;
    if (start.kind == StartRequest::Kind::cursor) shard_.counters().resumes.add();
    gap_ = begin->gap;
    came_late_ = feed.closed();
    if (gap_ || wait.count() <= 0) {
      answer();
    } else {
      shard_.set(*this, wait);
      advance(entry_);
    }
    return true;
  }

  /// The server is going, or the wait is over: answers with what there is.
  void answer() {
    if (answered_) return;
    while (entry_.feed->range(entry_.next).range.lost) {
      gap_ = true;
      entry_.next = channel()->resume_earliest();
    }
    give(entry_.feed->range(entry_.next));
  }

  void advance(Entry&) override {
    if (answered_) return;
    auto& sendable = entry_.feed->range(entry_.next);
    const Range& range = sendable.range;
    if (range.lost) return answer();
    // Nothing more comes on a closed channel; but who comes after that would, if answered early, ask again at once.
    if (range.pieces.empty() && (came_late_ || !entry_.feed->owner().closed())) {
      entry_.next = range.next;
      return;
    }
    give(sendable);
  }
  void lagging(Entry&) override {}
  void expired() override { answer(); }

 private:
  void give(Sendable& sendable) {
    answered_ = true;
    unlink();
    entry_.leave();
    answer_(owner_, sendable, gap_);  // which may destroy this
  }

  void* owner_;
  Answer answer_;
  Shard& shard_;
  Entry entry_;
  bool gap_ = false;
  bool came_late_ = false;
  bool answered_ = false;
};

}  // namespace downlink::detail
