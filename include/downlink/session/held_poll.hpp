#pragma once

#include <chrono>
#include <utility>

#include <downlink/session/feed.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/transport/polling.hpp>

namespace downlink::detail {

/// A poll that waits for its first messages, for the end of its wait, or for its peer to go. It counts as a subscriber.
class HeldPoll final : public Subscriber, public Deadline {
 public:
  /// There is an answer: messages, a gap, or nothing because the wait is over. The poll is done and may be destroyed.
  using Answer = void (*)(void* owner, const Range& range, bool gap);

  HeldPoll(void* owner, Answer call, Shard& shard) : owner_(owner), answer_(call), shard_(shard), entry_(*this) {}

  const std::shared_ptr<ChannelState>& channel() const { return entry_.feed->owner().channel(); }

  /// Answers at once when there is something, else holds for `wait`. False where the channel has no room for it.
  bool start(Feed& feed, const StartRequest& start, DefaultStart otherwise, std::chrono::milliseconds wait) {
    const auto begin = entry_.join(feed.form(&form_ops<PollElement>, poll_limits), start, otherwise);
    if (!begin) return false;
    gap_ = begin->gap;
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
    auto sendable = entry_.feed->range(entry_.next);
    while (sendable.range->lost) {
      gap_ = true;
      entry_.next = channel()->resume_earliest();
      sendable = entry_.feed->range(entry_.next);
    }
    give(sendable);
  }

  void advance(Entry&) override {
    if (answered_) return;
    const auto sendable = entry_.feed->range(entry_.next);
    if (sendable.range->lost) return answer();
    if (sendable.range->pieces.empty() && !entry_.feed->owner().closed()) {
      entry_.next = sendable.range->next;
      return;
    }
    give(sendable);
  }
  void lagging(Entry&) override {}
  void expired() override { answer(); }

 private:
  void give(const FormFeed::Sendable& sendable) {
    answered_ = true;
    static_cast<Deadline*>(this)->unlink();
    entry_.leave();
    answer_(owner_, *sendable.range, gap_);  // which may destroy this
  }

  void* owner_;
  Answer answer_;
  Shard& shard_;
  Entry entry_;
  bool gap_ = false;
  bool answered_ = false;
};

}  // namespace downlink::detail
