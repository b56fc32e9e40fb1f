#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include <downlink/channel/clock.hpp>
#include <downlink/channel/message.hpp>
#include <downlink/error.hpp>

namespace downlink {

/// What a cursor may ask for. Whatever passes any of the bounds leaves the history, oldest first; the newest message
/// stays even when it alone exceeds `max_bytes`.
struct HistoryOptions {
  /// Messages kept. By default 1000: what one poll can take at once, and minutes of a stream of some messages a second.
  std::size_t max_messages = 1000;
  /// Payload bytes kept. By default 64 MiB, so that 1000 messages of the largest size do not take the machine.
  std::size_t max_bytes = std::size_t{64} << 20;
  /// Age up to which messages are kept. By default zero, without regard to age: count and bytes bound the memory.
  std::chrono::milliseconds max_age{0};
};

/// What happens to a subscriber that lags more than `max_lag` behind (WIRE §7).
enum class LagPolicy : std::uint8_t {
  /// The stream is ended; the client comes back and resumes by id. It should reconnect.
  disconnect,
  /// The subscriber goes on at the newest message, after a gap notice. A WebSocket without the subprotocol
  /// `downlink.v1` has no place for one: it is disconnected.
  skip,
};

/// Where a reader without a cursor starts.
enum class DefaultStart : std::uint8_t {
  /// After the newest message.
  latest,
  /// At the oldest retained message.
  earliest,
};

/// A log outside this process that messages are published to, and whose messages come back through `Channel::append`.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Publishes and calls `done` once, from any thread. An engine that lets go of `done` instead, as by being destroyed,
  /// has failed, and whoever waits is told so; it does either before their loops go.
  virtual void async_publish(Message message, std::function<void(error_code, MessageId)> done) = 0;
};

/// How a channel keeps its messages. A channel's memory is history + live tail + encoded cache + what is pinned.
struct ChannelOptions {
  /// What a cursor may ask for: by default the last 1000 messages, 64 MiB at most.
  HistoryOptions history = {};
  /// Payload bytes that a connected subscriber may be behind before `lag_policy` strikes. Within it, a subscriber
  /// never sees a gap, whatever the history's bounds. By default 1 MiB: some seconds of a slow network's stall, at a
  /// cost of 1 MiB for the channel and not for the subscriber.
  std::size_t max_lag = std::size_t{1} << 20;
  /// The same bound in messages, by default 65,536, so that tiny messages, whose bookkeeping is larger than they are,
  /// are bounded too.
  std::size_t max_lag_messages = std::size_t{1} << 16;
  /// What happens past `max_lag`. By default `disconnect`: the client comes back and resumes from the history, which
  /// loses nothing as long as that reaches far enough.
  LagPolicy lag_policy = LagPolicy::disconnect;
  /// Largest payload that may be published, in bytes; past it `errc::message_too_large`. By default 16 MiB: the
  /// application is trusted more than clients are, but a slip is not to fill the log. At most 512 MiB, whatever is
  /// said here: no transport's encoding, up to seven times as large, then passes the 4 GiB that one may have.
  std::size_t max_message = std::size_t{16} << 20;
  /// Subscribers at once, held polls included. Past it a peer is refused as past the connection limit (WIRE §8). A
  /// `Subscription` of the application's own counts, and is never refused. By default zero, without a bound: a
  /// subscriber costs the channel nothing, and connections are bounded by `EndpointOptions::max_connections`.
  std::size_t max_subscribers = 0;
  /// Bound on the encoded copies of the log over all wire forms, in bytes. Ranges past it are encoded again on need. By
  /// default 4 MiB: the live tail in the four forms that are commonest.
  std::size_t max_encoded = std::size_t{4} << 20;
  /// Bytes of encodings, dropped from the cache, that subscribers past `max_lag` may still hold because the message
  /// that they are being sent is in them. Past it, who has held some longest is reset. By default 8 MiB: thousands of
  /// stalled readers of small messages pin less.
  std::size_t max_pinned = std::size_t{8} << 20;
  /// The time that ages and times to live are measured in. By default none, the system's monotonic clock; tests give
  /// one that they can move.
  std::shared_ptr<const Clock> clock = {};
  /// Where messages are published instead of this process's log. By default none: the log is local.
  std::shared_ptr<Engine> engine = {};
};

}  // namespace downlink
