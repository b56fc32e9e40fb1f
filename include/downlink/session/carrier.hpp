#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/session/peer.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/session/stream.hpp>
#include <downlink/transport/transport.hpp>

namespace downlink {

/// How streams are kept.
struct StreamOptions {
  /// A stream in which nothing was sent for this long is sent something that a client ignores; a WebSocket from which
  /// nothing came is pinged, and dropped after another interval of silence. By default 30 s: half of the 60 s after
  /// which most proxies close what is silent.
  std::chrono::milliseconds heartbeat{30'000};
  /// A connection that takes no bytes for this long, while some wait for it, is reset, at most a quarter later. By
  /// default 30 s: longer than a network's stall or a telephone's change of cells, short enough that readers who have
  /// stopped do not pile up. On Linux a byte counts as taken when the peer's system acknowledges it, so that whoever
  /// reads on stays, within `max_lag` and `max_pinned`; but one whose buffers are full may acknowledge nothing until a
  /// good part of them has been read, which at a few kilobytes a second takes longer than this. Elsewhere a byte counts
  /// when it has left the library. A stream that ends because it is too far behind, or its authorization has expired,
  /// has this long for the rest of the message that it has begun (WIRE §7, §8).
  std::chrono::milliseconds write_timeout{30'000};
  /// What a stream tells its clients to wait before they reconnect. By default 3 s, about what browsers wait unasked.
  std::chrono::milliseconds retry{3'000};
  /// Bytes of direct replies and control frames that may wait for one peer; past it the peer is closed (1013). By
  /// default 64 KiB more than 1 MiB, and in any case than `EndpointOptions::max_message`: an echo of the largest
  /// message fits, with pongs beside it. What waits for the loop counts with its event and the memory around it.
  std::size_t max_peer_queue = (std::size_t{1} << 20) + (std::size_t{64} << 10);
};

namespace detail {

/// The connection as a session sees it.
class Carrier : public PeerState::Link {
 public:
  explicit Carrier(Shard& shard) : shard_(shard) {}

  Shard& shard() const { return shard_; }
  virtual const StreamOptions& stream_options() const = 0;

  virtual IoResult try_write(std::span<const net::const_buffer> buffers) = 0;
  /// The descriptor of a socket that somebody else may send to with `try_write`'s effect, or -1.
  virtual int socket_to_send() const { return -1; }
  /// How many of the bytes last offered, behind those that were written, are to be finished before any others.
  virtual std::size_t committed() const { return 0; }
  /// Calls `writable` of the session once the peer takes bytes again.
  virtual void await_writable() = 0;
  /// Whether it was for the peer that the bytes had waited which the stream has got rid of now.
  virtual bool peer_took() const { return true; }
  /// How long the peer's system has acknowledged nothing of what was sent; zero where that is not known.
  virtual std::chrono::milliseconds unacknowledged() const { return {}; }
  /// Of the bytes sent, how many the peer's system has yet to acknowledge; the most there can be where that is not
  /// known.
  virtual std::uint32_t untaken() const { return not_known; }
  /// It has been seen to take some: the system, which gives up whoever takes little at a time, is not to do so.
  virtual void lift_user_timeout() {}
  /// Whether these have become fewer since they were `before`, which they are from now on. At first they are not known.
  bool took_some(std::uint32_t& before) {
    const std::uint32_t now = untaken();
    const std::uint32_t then = std::exchange(before, now);
    if (now >= then) return false;
    if (then != not_known) lift_user_timeout();
    return true;
  }
  static constexpr std::uint32_t not_known = ~std::uint32_t{0};
  /// The session's last byte has been sent: close in an orderly way. The session outlives the call.
  virtual void session_done(EndReason reason) = 0;
  /// The connection is broken or timed out: reset it. The session outlives the call.
  virtual void session_broken(EndReason reason) = 0;
  /// It is decided that the session ends, and why: the first of what is told of its end.
  virtual void session_ends(const Ending&) {}
  /// The transport, which may be the application's, has thrown this: the session is about to end.
  virtual void transport_failed(const std::exception_ptr&) {}
  /// The peer has sent a message. To take no further one for now, call `pause` of the session.
  virtual void message_came(std::string data, bool binary) = 0;
  /// What the peer has said takes long: calls `pause` of the session, and `unpause` in a later turn.
  virtual void rest_input() = 0;
  /// The most bytes that a message of the peer's may have.
  virtual std::size_t max_message() const = 0;

 protected:
  ~Carrier() = default;

 private:
  Shard& shard_;
};

}  // namespace detail
}  // namespace downlink
