#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/error.hpp>

#if defined(__linux__)
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif
#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace downlink {

/// What one attempt to read or write came to.
struct IoResult {
  /// What it came to.
  enum class State : unsigned char {
    /// `bytes` were moved, at least one.
    moved,
    /// Nothing can be moved now: wait with `async_ready`.
    would_block,
    /// The peer has ended its side (reading).
    end,
    /// The connection is broken.
    broken,
  };
  /// What it came to.
  State state = State::broken;
  /// How many bytes were moved.
  std::size_t bytes = 0;
};

/// What to wait for.
enum class Ready : unsigned char {
  /// There is something to read, or the peer has ended its side.
  read,
  /// The stream takes bytes again.
  write,
  /// The connection has broken.
  error,
};

/// How a session reaches its peer: non-blocking attempts, and waiting for readiness. TCP and local sockets model it; so
/// can TLS on a descriptor. A stream is used on its shard alone. For the library's own: endpoints take sockets.
///
/// - `try_write(buffers)` writes what fits now. `try_read(buffer)` reads what is there now.
/// - `async_ready(what, handler)` completes with `void(error_code)` on any thread of the context.
/// - `cancel_reading()` has a read, or a wait for one, complete soon: with an error, unless it was over already.
/// - `committed()` is how many of the bytes last offered must be finished, with the same bytes, before any others: none
///   for a plain socket, the submitted range for TLS.
/// - `unacknowledged()`, if there is one, is how long the other end's system has sent nothing, no acknowledgement
///   either, while sent bytes wait for one: a peer that is there but does not read acknowledges all the same.
/// - `untaken()`, if there is one, is how many of the bytes sent the other end's system has yet to acknowledge, and
///   `lift_user_timeout()` has the system wait for it as long as that goes on.
/// - `peer_took()`, if there is one, is false where the bytes that a wait for `Ready::write` was for may not have
///   waited for the peer.
/// - `remote_address()` is the other end's IP address, or empty. `end_output()` half-closes; `close()` closes at once,
/// with a reset if `reset` is set.
template <class S>
concept Stream = std::movable<S> &&
    requires(S& stream, std::span<const net::const_buffer> out, net::mutable_buffer in, void (*handler)(error_code)) {
  { stream.try_write(out) } -> std::same_as<IoResult>;
  { stream.try_read(in) } -> std::same_as<IoResult>;
  stream.async_ready(Ready::read, handler);
  stream.cancel_reading();
  { stream.committed() } -> std::convertible_to<std::size_t>;
  { stream.remote_address() } -> std::convertible_to<std::string>;
  stream.end_output();
  stream.close(true);
};

/// Bounds that the kernel keeps for one connection, where the system has them.
struct SocketLimits {
  /// Bytes that may wait unsent in the kernel: `TCP_NOTSENT_LOWAT` on Linux, the send buffer elsewhere. By default 128
  /// KiB: two of the log's segments, enough to keep a fast network busy between two rounds, where the system's own
  /// default are megabytes for each reader that has stopped.
  std::size_t unsent_bytes = std::size_t{128} << 10;
  /// How long sent bytes may stay unacknowledged, or the peer take none, before the system gives the connection up
  /// (`TCP_USER_TIMEOUT`, Linux); zero leaves the system's own, which is many minutes. By default two of a stream's
  /// heartbeats, or the write timeout where that is longer: the library's own deadlines come first. The system counts
  /// whoever takes little at a time as taking none: once such a peer is seen to take some, only those hold for it.
  std::optional<std::chrono::milliseconds> user_timeout = {};
};

namespace detail {

/// A number as a socket's option takes it.
inline int at_most_int(std::uint64_t number) {
  return static_cast<int>(std::min<std::uint64_t>(number, std::numeric_limits<int>::max()));
}

#if defined(__linux__)
/// How long a TCP socket's other end has sent nothing, no acknowledgement either, while sent bytes wait for one; zero
/// where none do.
inline std::chrono::milliseconds unacknowledged(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_unacked == 0) return {};
  return std::chrono::milliseconds(std::min(info.tcpi_last_ack_recv, info.tcpi_last_data_recv));
}

/// Of the bytes sent, how many a socket's other end has yet to acknowledge, or to read where it is a local one. What a
/// TCP peer that reads nothing answers probes with acknowledges none.
inline std::uint32_t untaken(int socket) {
  int bytes = 0;
  return ::ioctl(socket, TIOCOUTQ, &bytes) == 0 ? static_cast<std::uint32_t>(bytes) : ~std::uint32_t{0};
}
#endif

/// Closes a socket for which no loop is left.
inline void close_native(net::generic::stream_protocol::socket::native_handle_type native) {
#if defined(_WIN32)
  ::closesocket(native);
#else
  ::close(native);
#endif
}

}  // namespace detail

/// The stream of a TCP or local socket. For the library's own.
class SocketStream {
 public:
  /// The concrete executor of a loop, which takes no memory.
  using Executor = net::io_context::executor_type;
  /// A TCP or local socket.
  using Socket = net::basic_stream_socket<net::generic::stream_protocol, Executor>;

  /// Takes a connected socket; `configure` makes it ready.
  explicit SocketStream(Socket socket) : socket_(std::move(socket)) {}

  /// Makes the socket non-blocking and sets its limits; errors of limits that its kind has not are passed over.
  void configure(const SocketLimits& limits) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
    limit(socket_, limits);
  }

  /// The same for one that was accepted from a socket on which `limit` was called.
  void configure_accepted([[maybe_unused]] const SocketLimits& limits) {
#if defined(__linux__)
    error_code ignored;
    socket_.non_blocking(true, ignored);
#else
    configure(limits);
#endif
  }

  /// Sets a socket's limits, or those of a listening one, from which Linux takes them over to what it accepts.
  template <class AnySocket>
  static void limit(AnySocket& socket, const SocketLimits& limits) {
#if defined(__linux__)
    const auto set = [fd = socket.native_handle()](int name, int value) {
      ::setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value);
    };
    set(TCP_NODELAY, 1);
    set(TCP_NOTSENT_LOWAT, detail::at_most_int(limits.unsent_bytes));
    const auto timeout = limits.user_timeout.value_or(std::chrono::milliseconds{0}).count();
    if (timeout > 0) set(TCP_USER_TIMEOUT, detail::at_most_int(static_cast<std::uint64_t>(timeout)));
#else
    error_code ignored;
    socket.set_option(net::ip::tcp::no_delay(true), ignored);
    socket.set_option(net::socket_base::send_buffer_size(detail::at_most_int(limits.unsent_bytes)), ignored);
#endif
  }

  /// Writes what the kernel takes now.
  IoResult try_write(std::span<const net::const_buffer> buffers) {
#if defined(__linux__)
    // Asio's way to the same call costs more user time than all else that a delivery does.
    if (buffers.size() == 1) return send(socket_.native_handle(), buffers[0]);
#endif
    return write_several(buffers);
  }

#if defined(__linux__)
  /// With which flags bytes are sent.
  static constexpr int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  /// Sends what the kernel takes now to a socket of this kind.
  static IoResult send(int socket, net::const_buffer bytes) {
    const auto done = ::send(socket, bytes.data(), bytes.size(), send_flags);
    return sent(done < 0 ? -errno : done);
  }
  /// What a send came to: the bytes that were sent, or the error, negative.
  static IoResult sent(ssize_t done) {
    if (done >= 0) return {IoResult::State::moved, static_cast<std::size_t>(done)};
    return {done == -EAGAIN ? IoResult::State::would_block : IoResult::State::broken, 0};
  }
#endif

  /// The descriptor, to which a round's sends may be made together; see `enable_io_uring`. A stream need not have it.
  int socket_to_send() const { return const_cast<Socket&>(socket_).native_handle(); }

  /// Reads as soon as there is something: completes with `void(error_code, std::size_t)`. A stream need not have it.
  template <class Handler>
  void async_read(net::mutable_buffer buffer, Handler&& handler) {
    socket_.async_read_some(buffer, std::forward<Handler>(handler));
  }

  /// Has a read, or a wait for one, complete soon: with an error, unless it was over already.
  void cancel_reading() {
    error_code ignored;
    socket_.cancel(ignored);
  }

  /// Reads what is there now.
  IoResult try_read(net::mutable_buffer buffer) {
    error_code error;
    const std::size_t bytes = socket_.read_some(buffer, error);
    return result(bytes, error);
  }

  /// Waits: completes with `void(error_code)`.
  template <class Handler>
  void async_ready(Ready what, Handler&& handler) {
    const auto wait = what == Ready::read    ? Socket::wait_read
                      : what == Ready::write ? Socket::wait_write
                                             : Socket::wait_error;
    socket_.async_wait(wait, std::forward<Handler>(handler));
  }

  /// None: other bytes may follow what was written.
  std::size_t committed() const { return 0; }

#if defined(__linux__)
  /// How long the other end's system has sent nothing, no acknowledgement either, while sent bytes wait for one.
  std::chrono::milliseconds unacknowledged() const {
    return detail::unacknowledged(const_cast<Socket&>(socket_).native_handle());
  }
  /// Of the bytes sent, how many the other end's system has yet to acknowledge.
  std::uint32_t untaken() const { return detail::untaken(const_cast<Socket&>(socket_).native_handle()); }
  /// Leaves it to the library's deadlines to give the other end up.
  void lift_user_timeout() { lift_user_timeout(socket_); }
  /// The same for a socket of another kind.
  template <class AnySocket>
  static void lift_user_timeout(AnySocket& socket) {
    const int none = 0;
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof none);
  }
#endif

  /// Ends this side's output (`shutdown`).
  void end_output() {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  /// Closes at once, and drops what is unsent where `reset` is set.
  void close(bool reset) {
    error_code ignored;
    if (reset) socket_.set_option(net::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
  }

  /// The socket itself.
  Socket& socket() { return socket_; }

  /// The IP address of the other end; empty for a local socket.
  std::string remote_address() const {
    error_code error;
    const auto endpoint = socket_.remote_endpoint(error);
    if (error || (endpoint.protocol().family() != AF_INET && endpoint.protocol().family() != AF_INET6)) return {};
    net::ip::tcp::endpoint address;
    address.resize(endpoint.size());
    std::memcpy(address.data(), endpoint.data(), endpoint.size());
    return address.address().to_string();
  }

 private:
  struct Sequence {
    std::span<const net::const_buffer> buffers;
    using value_type = net::const_buffer;
    using const_iterator = const net::const_buffer*;
    const_iterator begin() const { return buffers.data(); }
    const_iterator end() const { return buffers.data() + buffers.size(); }
  };

  [[gnu::noinline]] IoResult write_several(std::span<const net::const_buffer> buffers) {
    error_code error;
    const std::size_t bytes = socket_.write_some(Sequence{buffers}, error);
    return result(bytes, error);
  }

  static IoResult result(std::size_t bytes, const error_code& error) {
    if (!error) return {IoResult::State::moved, bytes};
    if (error == net::error::would_block || error == net::error::try_again) return {IoResult::State::would_block, 0};
    if (error == net::error::eof) return {IoResult::State::end, 0};
    return {IoResult::State::broken, 0};
  }

  Socket socket_;
};

static_assert(Stream<SocketStream>);

}  // namespace downlink
