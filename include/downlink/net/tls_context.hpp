#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <downlink/error.hpp>
#include <downlink/net/stats.hpp>
#include <downlink/net/tls_socket.hpp>

/// \file
/// What TLS connections share: certificates and what is agreed on, which may be replaced while connections are open.

namespace downlink {

/// Why a TLS handshake failed.
enum class TlsFailure : std::uint8_t {
  /// What came was no TLS, such as plain HTTP.
  not_tls,
  /// The client speaks none of the versions that are allowed.
  version,
  /// No cipher, group, signature algorithm or application protocol in common.
  nothing_in_common,
  /// The client showed no certificate where it has to, or one that is not accepted.
  client_certificate,
  /// The client turned the server's certificate or answer down, by an alert.
  refused_by_client,
  /// The client went away.
  client_left,
  /// It took longer than `EndpointOptions::head_timeout`, or the server was going.
  unfinished,
  /// Anything else.
  other,
};

/// The name of a failure, such as `not_tls`.
constexpr std::string_view name_of(TlsFailure why) noexcept {
  constexpr std::string_view names[] = {"not_tls",           "version",     "nothing_in_common", "client_certificate",
                                        "refused_by_client", "client_left", "unfinished",        "other"};
  return names[static_cast<std::size_t>(why)];
}

/// What TLS does and has done. A copy of plain numbers.
struct TlsStats {
  /// Handshakes that were completed.
  std::uint64_t handshakes = 0;
  /// How many of them resumed an earlier session, which spares both sides most of the work.
  std::uint64_t resumed = 0;
  /// Connections that were over before their handshake was, by why.
  ByEnum<TlsFailure, static_cast<std::size_t>(TlsFailure::other) + 1> failed = {};
};

namespace detail {

class TlsErrorCategory final : public error_category {
 public:
  const char* name() const noexcept override { return "downlink.tls"; }
  std::string message(int value) const override {
    const char* reason = ::ERR_reason_error_string(static_cast<unsigned long>(value));
    return reason ? reason : "unknown TLS error";
  }
};

inline const error_category& tls_category() noexcept {
  static const TlsErrorCategory category;
  return category;
}

/// The first error in OpenSSL's queue of this thread, which is emptied.
inline error_code take_tls_error() {
  const unsigned long first = ::ERR_peek_error();
  ::ERR_clear_error();
#ifdef ERR_SYSTEM_ERROR
  if (ERR_SYSTEM_ERROR(first)) return {ERR_GET_REASON(first), net::error::get_system_category()};
#endif
  return {static_cast<int>(first == 0 ? ERR_R_INTERNAL_ERROR : first), tls_category()};
}

inline TlsFailure failure_of(unsigned long error) {
  const int reason = ERR_GET_REASON(error);
  if (error == 0) return TlsFailure::client_left;
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return TlsFailure::other;
  if (reason > SSL_AD_REASON_OFFSET) return TlsFailure::refused_by_client;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_LENGTH_TOO_SHORT:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
      return TlsFailure::not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
      return TlsFailure::version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return TlsFailure::nothing_in_common;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return TlsFailure::client_certificate;
    default:
      return TlsFailure::other;
  }
}

/// HTTP/1.1, or whatever else this server speaks, of what the client offers by ALPN (RFC 7301 §3.2). One that offers
/// something else alone is turned away, so that no answer of ours can pass for another protocol's.
inline int select_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                           unsigned int offered_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1\x08http/1.0";
  const int found =
      ::SSL_select_next_proto(const_cast<unsigned char**>(chosen), size, ours, sizeof ours - 1, offered, offered_size);
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// What every context is made to do: at least TLS 1.2, unless another bound was set, and resuming by tickets that the
/// clients keep, so that sessions take no memory here.
inline void prepare(SSL_CTX* context) {
  if (::SSL_CTX_get_min_proto_version(context) == 0) ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_alpn_select_cb(context, &select_protocol, nullptr);
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  constexpr unsigned char name[] = "downlink";  // without one, clients that show certificates could not resume
  ::SSL_CTX_set_session_id_context(context, name, sizeof name - 1);
}

/// What the connections of a `Tls` share, beside the context that each began with.
class TlsState {
 public:
  BIO_METHOD* socket_method() const { return method_.method; }

  /// The context for new connections. Safe from any thread, as is setting it.
  std::shared_ptr<SSL_CTX> context() const {
    const std::lock_guard guard(mutex_);
    return context_;
  }
  void set_context(std::shared_ptr<SSL_CTX> context) {
    prepare(context.get());
    const std::lock_guard guard(mutex_);
    context_.swap(context);
  }

  void count_handshake(bool resumed) {
    add(handshakes_);
    if (resumed) add(resumed_);
  }
  void count_failure(TlsFailure why) { add(failed_[static_cast<std::size_t>(why)]); }

  TlsStats stats() const {
    TlsStats stats{handshakes_.load(), resumed_.load()};
    for (std::size_t i = 0; i < failed_.size(); ++i) stats.failed.figures[i] = failed_[i].load();
    return stats;
  }

 private:
  using Figure = std::atomic<std::uint64_t>;
  static void add(Figure& figure) { figure.fetch_add(1, std::memory_order_relaxed); }

  const TlsSocketMethod method_;
  mutable std::mutex mutex_;
  std::shared_ptr<SSL_CTX> context_;
  Figure handshakes_{0};
  Figure resumed_{0};
  std::array<Figure, static_cast<std::size_t>(TlsFailure::other) + 1> failed_{};
};

}  // namespace detail
}  // namespace downlink
