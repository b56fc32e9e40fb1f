#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <concepts>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <downlink/net/adapted_stream.hpp>
#include <downlink/net/endpoint.hpp>
#include <downlink/net/tls_context.hpp>
#include <downlink/net/tls_stream.hpp>
#include <downlink/session/shard_executor.hpp>

/// \file
/// TLS for servers and endpoints. Needs OpenSSL 3: link `downlink::tls` beside the library.

namespace downlink {

namespace detail {
struct TlsAccess;
}

/// The server's certificate, as PEM files.
struct TlsFiles {
  /// The certificate, and behind it those that lead to one that clients know.
  std::string certificate = {};
  /// Its private key. One with a passphrase needs a context of the application's, which knows how to ask for it.
  std::string key = {};
};

/// How a server speaks TLS: a cheap handle, whose copies share everything. Safe from any thread.
///
/// From files it takes TLS 1.2 and 1.3 with ciphers that keep earlier sessions secret, and lets clients resume by
/// tickets. Whoever wants something else configures a context: client certificates, several names, other ciphers.
/// In any case ALPN chooses `http/1.1`, clients can't renegotiate, and no sessions are kept here.
class Tls {
 public:
  /// Throws `system_error` with a sentence where a file can't be used.
  explicit Tls(TlsFiles files) : state_(std::make_shared<State>()) {
    const Loaded loaded = load(files);
    if (loaded.error) throw system_error(loaded.error, loaded.sentence);
    state_->files = std::move(files);
    state_->set_context(loaded.context);
  }
  /// Takes over a context such as `asio::ssl::context` or Boost's, as it was configured. Where no least version was set
  /// it becomes 1.2; its ALPN callback and session cache are replaced. Those of further contexts, which an SNI callback
  /// of its own may choose, stay what the application made of them.
  template <class Context>
  requires requires(Context& context) {
    { context.native_handle() } -> std::convertible_to<SSL_CTX*>;
  }
  explicit Tls(Context context) : state_(std::make_shared<State>()) { replace(std::move(context)); }

  /// Reads the files again. Connections that are open go on as they are, and new ones get the new certificate. Where a
  /// file can't be used everything stays as it was.
  error_code reload() {
    const Loaded loaded = load(state_->files);
    if (!loaded.error) state_->set_context(loaded.context);
    return loaded.error;
  }
  /// The same with a context that takes the earlier one's place.
  template <class Context>
  requires requires(Context& context) {
    { context.native_handle() } -> std::convertible_to<SSL_CTX*>;
  }
  void replace(Context context) {
    auto owner = std::make_shared<Context>(std::move(context));
    SSL_CTX* const native = owner->native_handle();
    state_->set_context({std::move(owner), native});
  }

  /// Handshakes, resumed ones and failures since it was made.
  TlsStats stats() const { return state_->stats(); }

 private:
  friend struct detail::TlsAccess;

  struct State final : detail::TlsState {
    TlsFiles files;
  };
  struct Loaded {
    std::shared_ptr<SSL_CTX> context = {};
    error_code error = {};
    std::string sentence = {};
  };

  static Loaded load(const TlsFiles& files) {
    ::ERR_clear_error();
    Loaded loaded{{::SSL_CTX_new(::TLS_server_method()), &::SSL_CTX_free}};
    SSL_CTX* const context = loaded.context.get();
    if (!context) throw std::bad_alloc();
    ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    ::SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    // It would ask at the terminal.
    ::SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });
    if (::SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
      loaded.sentence = "can't use the certificate chain \"" + files.certificate + "\"";
    } else if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
      loaded.sentence = "can't use the private key \"" + files.key + "\"";
    } else if (::SSL_CTX_check_private_key(context) != 1) {
      loaded.sentence = "the private key \"" + files.key + "\" is not that of \"" + files.certificate + "\"";
    }
    if (!loaded.sentence.empty()) loaded.error = detail::take_tls_error();
    return loaded;
  }

  std::shared_ptr<State> state_;
};

namespace detail {

/// The way of this header's functions to what a `Tls` holds.
struct TlsAccess {
  static std::shared_ptr<TlsState> state(const Tls& tls) { return tls.state_; }
};

inline Connection* connect_tls(const std::shared_ptr<EndpointCore>& core, Shard& shard, SocketStream socket) {
  TlsStream stream(std::move(socket), std::static_pointer_cast<TlsState>(core->tls));
  return new ConnectionOver<TlsStream>(core, shard, std::move(stream));
}

}  // namespace detail

/// Has a server speak TLS on every connection that it accepts. To be called before it serves. What the application
/// hands over by `adopt` and `async_serve` stays as it is: a request has been read of it, so it was not encrypted, or
/// is not any more.
inline void enable_tls(EndpointBase& endpoint, const Tls& tls) {
  auto& core = detail::EndpointAccess::core(endpoint);
  core.tls = detail::TlsAccess::state(tls);
  core.connect = &detail::connect_tls;
}

/// Takes over a connection that the application has accepted and whose TLS is `asio::ssl::stream`'s, Boost's, or that
/// of anything with the same functions (the asynchronous ones, `next_layer` and `lowest_layer`), with all that was read
/// of it from the request line on. No operation of its own may be under way. Such a connection costs more than one of
/// `enable_tls`: 35 KB of buffers more, a copy of what is sent, and an operation for each record. The stream must be of
/// an `io_context` of the endpoint's, else `errc::foreign_executor`.
template <class AsyncStream>
error_code adopt_tls(EndpointBase& endpoint, AsyncStream stream, std::string read) {
  const auto& core = detail::EndpointAccess::shared(endpoint);
  for (const auto& shard : core->shards) {
    if (shard->gone() || &net::query(stream.get_executor(), net::execution::context) != &shard->context()) continue;
    SocketStream::limit(stream.lowest_layer(), core->options.socket);
    using Adapted = detail::AdaptedStream<AsyncStream>;
    Adapted adapted(std::move(stream), detail::application_executor(*shard));
    detail::ConnectionRef connection(new detail::ConnectionOver<Adapted>(core, *shard, std::move(adapted)));
    connection->start_on_shard(std::move(read));
    return {};
  }
  return errc::foreign_executor;
}

}  // namespace downlink
