#pragma once

#include <openssl/bio.h>

#include <cstddef>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <downlink/misuse.hpp>
#include <downlink/session/stream.hpp>

namespace downlink::detail {

/// A socket as OpenSSL writes to it: everything is taken, and what the system does not take waits here, encrypted. So
/// OpenSSL itself never waits: with a record of its own half sent it can't answer a KeyUpdate, and fails. There is at
/// most one record and what the peer makes OpenSSL answer, which is bounded by not reading on past `full`.
class TlsSocket {
 public:
  explicit TlsSocket(SocketStream socket) : stream(std::move(socket)) {}

  bool full() const { return unsent_.size() > most; }
  bool empty() const { return unsent_.empty(); }

  /// Sends what waits; the state is `moved` when nothing does any more.
  IoResult::State flush() {
    if (unsent_.empty()) return IoResult::State::moved;
    std::size_t sent = 0;
    IoResult result{IoResult::State::moved, 0};
    for (; sent < unsent_.size() && result.state == IoResult::State::moved; sent += result.bytes) {
      result = send(std::string_view(unsent_).substr(sent));
    }
    std::string(unsent_, sent).swap(unsent_);  // of its size: an idle connection keeps no room
    return result.state;
  }

  SocketStream stream;

 private:
  friend struct TlsSocketMethod;

  static constexpr std::size_t most = std::size_t{32} << 10;

  IoResult send(std::string_view bytes) {
    const net::const_buffer buffer(bytes.data(), bytes.size());
    return stream.try_write({&buffer, 1});
  }

  bool take(std::string_view bytes) {
    if (unsent_.empty()) {
      const IoResult result = send(bytes);
      if (result.state == IoResult::State::moved) bytes.remove_prefix(result.bytes);
      if (result.state != IoResult::State::moved && result.state != IoResult::State::would_block) return false;
    }
    return !thrown_by([&] { unsent_ += bytes; });  // OpenSSL has called, through which nothing may be thrown
  }

  std::string unsent_;
};

/// OpenSSL's way to a `TlsSocket`. Its own way to a descriptor also raises SIGPIPE where the peer has gone.
struct TlsSocketMethod {
  TlsSocketMethod() : method(::BIO_meth_new(BIO_TYPE_SOURCE_SINK, "downlink")) {
    if (!method) throw std::bad_alloc();
    ::BIO_meth_set_write(method, [](BIO* bio, const char* bytes, int size) {
      ::BIO_clear_retry_flags(bio);
      return socket(bio).take({bytes, static_cast<std::size_t>(size)}) ? size : -1;
    });
    ::BIO_meth_set_read(method, [](BIO* bio, char* room, int size) {
      ::BIO_clear_retry_flags(bio);
      const IoResult result = socket(bio).stream.try_read({room, static_cast<std::size_t>(size)});
      if (result.state == IoResult::State::would_block) ::BIO_set_retry_read(bio);
      return result.state == IoResult::State::moved ? static_cast<int>(result.bytes) : -1;
    });
    ::BIO_meth_set_ctrl(method, [](BIO*, int what, long, void*) -> long { return what == BIO_CTRL_FLUSH; });
  }
  TlsSocketMethod(const TlsSocketMethod&) = delete;
  TlsSocketMethod& operator=(const TlsSocketMethod&) = delete;
  ~TlsSocketMethod() { ::BIO_meth_free(method); }

  static TlsSocket& socket(BIO* bio) { return *static_cast<TlsSocket*>(::BIO_get_data(bio)); }

  BIO_METHOD* method;
};

}  // namespace downlink::detail
