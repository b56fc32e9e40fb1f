#pragma once

#include <downlink/channel/channel_state.hpp>
#include <downlink/channel/segment.hpp>
#include <downlink/misuse.hpp>
#include <downlink/session/list.hpp>

namespace downlink::detail {

/// Segments of encoded logs that are held for a peer that takes no bytes, in their shard's list; what is not in the
/// list holds nothing that counts.
class Hold : public ListNode {
 public:
  /// Too much of these encodings is held though their cache has dropped it: whoever holds some of that resets its
  /// connection.
  virtual void let_go(const EncodedUse& use) = 0;

 protected:
  ~Hold() = default;
};

/// Those of one shard, in the order in which they began.
class Holds {
 public:
  void add(Hold& hold) {
    if (!hold.linked()) holds_.push_back(hold);
  }
  /// Resets those that hold dropped encodings of the channel, longest first, until they are few enough.
  void relieve(const ChannelState& channel) noexcept {
    List<Hold> waiting;
    waiting.take_all(holds_);
    while (!waiting.empty()) {
      Hold& hold = waiting.front();
      holds_.push_back(hold);
      if (!channel.pins_too_much()) continue;
      thrown_by([&] { hold.let_go(channel.encoded_use()); });
    }
  }

 private:
  List<Hold> holds_;
};

}  // namespace downlink::detail
