#pragma once

#include <chrono>

#include <downlink/channel/segment.hpp>
#include <downlink/session/list.hpp>

namespace downlink::detail {

/// What lives on a shard and must let go of the loop before the loop goes: connections and listeners.
class ShardMember : public ListNode {
 public:
  /// The loop is going, or the server is: close, leave every channel, call nobody back.
  virtual void shut_down() = 0;
  /// The server is to stop in an orderly way: end what goes on, a stream after `delay`.
  virtual void drain(std::chrono::milliseconds delay) = 0;
  /// It was handed to `Shard::release_later`, and nobody uses it any more.
  virtual void released() {}
  /// Somebody has called `Shard::alarm`, which it heeds.
  virtual void alarmed() {}

 protected:
  ~ShardMember() = default;
};

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

}  // namespace downlink::detail
