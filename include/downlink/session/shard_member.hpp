#pragma once

#include <chrono>

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

}  // namespace downlink::detail
