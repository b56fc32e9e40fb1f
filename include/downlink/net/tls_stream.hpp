#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <downlink/net/tls_context.hpp>
#include <downlink/session/stream.hpp>

namespace downlink::detail {

/// TLS on a socket of this library's (RFC 8446, RFC 5246). OpenSSL reads and writes the socket itself, and Asio only
/// waits for it, so that an idle connection has no buffer: `asio::ssl::stream` keeps 35 KB each. The handshake is part
/// of the first reads, so all that bounds the time to a request's head bounds it too.
///
/// A range is written by one call of `try_write`, in records of 16 KiB at most, which is what `SSL_write` makes of it
/// anyway; pieces that are smaller are gathered into one record.
///
/// A record that the system does not take is encrypted already: its bytes count as written once it is gone, and until
/// then the stream is `committed` to them. It does read on meanwhile.
class TlsStream {
 public:
  TlsStream(SocketStream socket, std::shared_ptr<TlsState> state)
      : socket_(std::move(socket)), state_(std::move(state)), context_(state_->context()) {}
  TlsStream(TlsStream&& other) noexcept
      : socket_(std::move(other.socket_)),
        state_(std::move(other.state_)),
        context_(std::move(other.context_)),
        ssl_(std::move(other.ssl_)),
        committed_(other.committed_),
        flags_(other.flags_) {
    bind();
  }
  TlsStream& operator=(TlsStream&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(state_, other.state_);
    std::swap(context_, other.context_);
    std::swap(ssl_, other.ssl_);
    std::swap(committed_, other.committed_);
    std::swap(flags_, other.flags_);
    bind();
    other.bind();
    return *this;
  }

  IoResult try_write(std::span<const net::const_buffer> buffers) {
    if (!ssl_ || flags_.broken) return {IoResult::State::broken, 0};
    flags_.write_waits_for_input = false;
    if (const auto state = socket_.flush(); state != IoResult::State::moved) return {state, 0};
    Rest rest{buffers};
    std::size_t written = std::exchange(committed_, 0);
    rest.skip(written);
    std::array<char, largest_record> room;
    while (!rest.done() && committed_ == 0) {
      const auto chunk = rest.take(room.size(), room.data());
      clear_errors();
      const int result = ::SSL_write(ssl_.get(), chunk.data(), static_cast<int>(chunk.size()));
      if (result <= 0) {
        flags_.write_waits_for_input = ::SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
        if (!flags_.write_waits_for_input) return broken();
        break;
      }
      if (!socket_.empty()) committed_ = static_cast<std::uint32_t>(result);
      written += committed_ > 0 ? 0 : static_cast<std::size_t>(result);
      rest.skip(static_cast<std::size_t>(result));
    }
    return {written > 0 ? IoResult::State::moved : IoResult::State::would_block, written};
  }

  IoResult try_read(net::mutable_buffer buffer) {
    if (flags_.refused) return discard(buffer);
    if ((!ssl_ && !begin()) || flags_.broken) return {IoResult::State::broken, 0};
    if (socket_.flush() == IoResult::State::broken) return broken();
    clear_errors();
    const int room = static_cast<int>(std::min<std::size_t>(buffer.size(), INT_MAX));
    const int result = ::SSL_read(ssl_.get(), buffer.data(), room);
    const int why = result > 0 ? SSL_ERROR_NONE : ::SSL_get_error(ssl_.get(), result);
    if (context_ && ::SSL_is_init_finished(ssl_.get())) {
      context_.reset();
      state_->count_handshake(::SSL_session_reused(ssl_.get()) == 1);
    } else if (context_ && why != SSL_ERROR_WANT_READ) {
      return failed(why, buffer);
    }
    switch (why) {
      case SSL_ERROR_NONE:
        return {IoResult::State::moved, static_cast<std::size_t>(result)};
      case SSL_ERROR_WANT_READ:
        return {IoResult::State::would_block, 0};
      case SSL_ERROR_ZERO_RETURN:
        return {IoResult::State::end, 0};
      default:
        return broken();
    }
  }

  template <class Handler>
  void async_ready(Ready what, Handler&& handler) {
    if (what == Ready::read && ssl_ &&
        (::SSL_pending(ssl_.get()) > 0 || (::SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0)) {
      // Nothing more may come to wake it: OpenSSL has it already, bytes or the peer's end.
      auto ready = [handler = std::forward<Handler>(handler)]() mutable { std::move(handler)(error_code{}); };
      return net::post(socket_.stream.socket().get_executor(), std::move(ready));
    }
    // What reading had OpenSSL answer is to go out, for which nobody else waits; or there is too much of it.
    const bool answers = (!socket_.empty() && committed_ == 0) || socket_.full();
    if (what == Ready::read && answers) {
      what = Ready::write;
    } else if (what == Ready::write && flags_.write_waits_for_input) {
      what = Ready::read;
    }
    socket_.stream.async_ready(what, std::forward<Handler>(handler));
  }

  void cancel_reading() { socket_.stream.cancel_reading(); }

  std::size_t committed() const { return committed_; }

#if defined(__linux__)
  std::chrono::milliseconds unacknowledged() const { return socket_.stream.unacknowledged(); }
  std::uint32_t untaken() const { return socket_.stream.untaken(); }
  void lift_user_timeout() { socket_.stream.lift_user_timeout(); }
#endif
  std::string remote_address() const { return socket_.stream.remote_address(); }

  /// Tells the peer that this is all (RFC 8446 §6.1), and half-closes.
  void end_output() {
    if (say_end()) socket_.stream.end_output();
  }

  void close(bool reset) {
    if (!reset) say_end();
    if (std::exchange(context_, nullptr)) state_->count_failure(TlsFailure::unfinished);
    ssl_.reset();
    committed_ = 0;
    socket_.stream.close(reset);
  }

  /// The protocol and cipher in use, for tests and logs; null before the handshake.
  const SSL* ssl() const { return ssl_.get(); }

 private:
  // The largest piece that one record takes (RFC 8446 §5.1).
  static constexpr std::size_t largest_record = std::size_t{16} << 10;

  struct Free {
    void operator()(SSL* ssl) const { ::SSL_free(ssl); }
  };
  struct Flags {
    bool broken = false;
    bool refused = false;  // the handshake failed
    bool said_end = false;
    bool write_waits_for_input = false;
  };

  // What of the buffers is still to be written.
  struct Rest {
    std::span<const net::const_buffer> buffers;
    std::size_t begun = 0;  // of the first

    bool done() const { return buffers.empty(); }

    /// A piece of the first buffer, or where it is short as many whole ones as fit, put together in `room`: small ones
    /// share a record and a system call.
    std::span<const char> take(std::size_t most, char* room) const {
      const auto* first = static_cast<const char*>(buffers.front().data()) + begun;
      std::size_t size = buffers.front().size() - begun;
      if (size >= most || buffers.size() == 1 || size + buffers[1].size() > most) {
        return {first, std::min(size, most)};
      }
      std::memcpy(room, first, size);
      for (const auto& next : buffers.subspan(1)) {
        if (size + next.size() > most) break;
        std::memcpy(room + size, next.data(), next.size());
        size += next.size();
      }
      return {room, size};
    }
    void skip(std::size_t bytes) {
      begun += bytes;
      while (!buffers.empty() && begun >= buffers.front().size()) {
        begun -= buffers.front().size();
        buffers = buffers.subspan(1);
      }
    }
  };

  // What somebody left in the queue would be taken for an error of the next call; looking is much cheaper than
  // clearing.
  static void clear_errors() {
    if (::ERR_peek_error() != 0) ::ERR_clear_error();
  }

  // Made when the first bytes come: a connection that says nothing costs no more than a plain one.
  bool begin() {
    if (!context_) return false;
    context_ = state_->context();
    ssl_.reset(::SSL_new(context_.get()));
    BIO* bio = ssl_ ? ::BIO_new(state_->socket_method()) : nullptr;
    if (!bio) {
      ::ERR_clear_error();
      ssl_.reset();
      return false;
    }
    ::BIO_set_init(bio, 1);
    ::SSL_set_bio(ssl_.get(), bio, bio);
    bind();
    ::SSL_set_accept_state(ssl_.get());
    ::SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    // One record a call: a peer that sends what carries no data can't keep the loop here.
    ::SSL_clear_mode(ssl_.get(), SSL_MODE_AUTO_RETRY);
    ::SSL_set_options(ssl_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    ::SSL_set_read_ahead(ssl_.get(), 0);  // what OpenSSL does not have keeps the socket readable
    return true;
  }

  void bind() {
    if (ssl_) ::BIO_set_data(::SSL_get_rbio(ssl_.get()), &socket_);
  }

  // The client has been told why by an alert, which a reset could overtake: what it still sends is read until it
  // closes, for as long as its request's head may take.
  IoResult failed(int why, net::mutable_buffer buffer) {
    context_.reset();
    state_->count_failure(why == SSL_ERROR_SSL ? failure_of(::ERR_peek_error()) : TlsFailure::client_left);
    ::ERR_clear_error();  // the queue is the application's too
    flags_.refused = true;
    ssl_.reset();
    if (socket_.empty()) socket_.stream.end_output();
    return discard(buffer);
  }

  IoResult discard(net::mutable_buffer buffer) {
    if (!socket_.empty()) {
      const auto state = socket_.flush();
      if (state == IoResult::State::broken) return broken();
      if (state == IoResult::State::moved) socket_.stream.end_output();
    }
    const IoResult result = socket_.stream.try_read(buffer);
    return result.state == IoResult::State::moved ? IoResult{IoResult::State::would_block, 0} : result;
  }

  IoResult broken() {
    ::ERR_clear_error();  // the queue is the application's too
    flags_.broken = true;
    return {IoResult::State::broken, 0};
  }

  // False where the system does not take all of it now; it is tried again at the close.
  bool say_end() {
    if (!ssl_ || context_ || flags_.broken) return true;
    clear_errors();
    if (!std::exchange(flags_.said_end, true) && ::SSL_shutdown(ssl_.get()) < 0) ::ERR_clear_error();
    return socket_.flush() == IoResult::State::moved;
  }

  TlsSocket socket_;
  std::shared_ptr<TlsState> state_;
  std::shared_ptr<SSL_CTX> context_;  // until the handshake is over
  std::unique_ptr<SSL, Free> ssl_;
  std::uint32_t committed_ = 0;
  Flags flags_;
};

static_assert(Stream<TlsStream>);

}  // namespace downlink::detail
