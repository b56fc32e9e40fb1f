#pragma once

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <downlink/tls.hpp>

#include "support/http_client.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"

namespace downlink::testing {

template <auto free>
struct FreeWith {
  void operator()(auto* thing) const { free(thing); }
};
template <class T, auto free>
using Owned = std::unique_ptr<T, FreeWith<free>>;

/// A certificate for this machine and its key, signed by itself, in files that go with this object. `write` makes new
/// ones in their place.
class Certificate {
 public:
  explicit Certificate(const std::string& name = "localhost") {
    std::string path = (std::filesystem::temp_directory_path() / "downlink-tls-XXXXXX").string();
    if (!::mkdtemp(path.data())) throw std::runtime_error("mkdtemp");
    directory_ = path;
    write(name);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
  ~Certificate() { std::filesystem::remove_all(directory_); }

  std::string certificate() const { return directory_ / "certificate.pem"; }
  std::string key() const { return directory_ / "key.pem"; }
  TlsFiles files() const { return {.certificate = certificate(), .key = key()}; }

  void write(const std::string& name) const {
    const Owned<EVP_PKEY, ::EVP_PKEY_free> pair(::EVP_EC_gen("P-256"));
    const Owned<X509, ::X509_free> made(::X509_new());
    ::X509_set_version(made.get(), X509_VERSION_3);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), 1);
    ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), 24 * 3600);
    ::X509_set_pubkey(made.get(), pair.get());
    auto* subject = ::X509_get_subject_name(made.get());
    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0);
    ::X509_set_issuer_name(made.get(), subject);
    add(made.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    add(made.get(), NID_basic_constraints, "critical,CA:TRUE");
    ::X509_sign(made.get(), pair.get(), ::EVP_sha256());
    save(certificate(), [&](std::FILE* file) { return ::PEM_write_X509(file, made.get()); });
    save(key(), [&](std::FILE* file) {
      return ::PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

 private:
  static void add(X509* to, int kind, const char* value) {
    const Owned<X509_EXTENSION, ::X509_EXTENSION_free> made(::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
    ::X509_add_ext(to, made.get(), -1);
  }
  static void save(const std::string& path, auto write) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), &std::fclose);
    if (!file || write(file.get()) != 1) throw std::runtime_error("can't write " + path);
  }

  std::filesystem::path directory_;
};

/// The client's side of TLS over a connection of the tests'. Its bytes go through memory, so that a test decides when
/// and how many of them are sent.
class TlsClient {
 public:
  using Context = Owned<SSL_CTX, ::SSL_CTX_free>;

  /// A context that takes any certificate.
  static Context context() { return Context(::SSL_CTX_new(::TLS_client_method())); }

  explicit TlsClient(Connection connection, SSL_CTX* using_context = nullptr)
      : connection_(std::move(connection)), own_(using_context ? nullptr : context()) {
    ssl_.reset(::SSL_new(using_context ? using_context : own_.get()));
    in_ = ::BIO_new(::BIO_s_mem());
    out_ = ::BIO_new(::BIO_s_mem());
    ::BIO_set_mem_eof_return(in_, -1);
    ::SSL_set_bio(ssl_.get(), in_, out_);
    ::SSL_set_connect_state(ssl_.get());
  }
  explicit TlsClient(std::uint16_t port) : TlsClient(Connection(port, std::chrono::seconds{20})) {}

  SSL* ssl() const { return ssl_.get(); }
  Connection& connection() { return connection_; }
  std::string version() const { return ::SSL_get_version(ssl_.get()); }
  /// The common name in the server's certificate.
  std::string name() const {
    const Owned<X509, ::X509_free> shown(::SSL_get1_peer_certificate(ssl_.get()));
    char text[256] = "";
    if (shown) ::X509_NAME_get_text_by_NID(::X509_get_subject_name(shown.get()), NID_commonName, text, sizeof text);
    return text;
  }

  /// What is to be sent, and has not been.
  std::string take_output() {
    std::string bytes(::BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) ::BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  void put_input(std::string_view bytes) { ::BIO_write(in_, bytes.data(), static_cast<int>(bytes.size())); }

  /// Goes on with the handshake, with what has come so far; whether it is complete.
  bool step() {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(ssl_.get());
    const int why = ::SSL_get_error(ssl_.get(), result);
    if (result != 1 && why != SSL_ERROR_WANT_READ) fail("the handshake failed");
    return result == 1;
  }
  TlsClient& handshake() {
    while (!step()) {
      flush();
      receive();
    }
    flush();
    return *this;
  }
  /// What the handshake comes to: nothing where it succeeds, else why the server ended it.
  std::string refusal() {
    try {
      handshake();
      // With TLS 1.3 a client learns only afterwards that it was turned down.
      connection_.set_patience(std::chrono::milliseconds{300});
      read_some();
    } catch (const std::exception& error) {
      return std::string(error.what()).find("nothing came in time") == std::string::npos ? error.what() : "";
    }
    return "";
  }

  void send(std::string_view bytes) {
    ::SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    flush();
  }
  void flush() { connection_.send(take_output()); }

  /// What has come, or comes next; empty at the end that close_notify makes. Throws where there was none.
  std::string read_some() {
    if (!text_.empty()) return std::exchange(text_, {});
    while (true) {
      char room[16384];
      ::ERR_clear_error();
      const int got = ::SSL_read(ssl_.get(), room, sizeof room);
      if (got > 0) return {room, static_cast<std::size_t>(got)};
      const int why = ::SSL_get_error(ssl_.get(), got);
      if (why == SSL_ERROR_ZERO_RETURN) return {};
      if (why != SSL_ERROR_WANT_READ) fail("reading failed");
      flush();
      receive();
    }
  }
  std::string read_until(std::string_view mark) {
    std::size_t found = 0;
    std::string text;
    while ((found = text.find(mark)) == std::string::npos) {
      const auto more = read_some();
      if (more.empty()) throw std::runtime_error("the server ended; unread: " + text);
      text += more;
    }
    text_ = text.substr(found + mark.size());
    return text.substr(0, found + mark.size());
  }
  /// Everything up to close_notify.
  std::string read_to_end() {
    std::string text;
    for (auto more = read_some(); !more.empty(); more = read_some()) text += more;
    return text;
  }
  std::string get(std::string_view target, std::string_view headers = "Connection: close\r\n") {
    send(request_text("GET", target, headers));
    return read_to_end();
  }

 private:
  [[noreturn]] static void fail(const std::string& what) {
    const char* reason = ::ERR_reason_error_string(::ERR_peek_error());
    throw std::runtime_error(what + ": " + (reason ? reason : "?"));
  }
  void receive() {
    const auto bytes = connection_.read_some();
    if (bytes.empty()) throw std::runtime_error("closed without close_notify");
    put_input(bytes);
  }

  Connection connection_;
  Context own_;
  Owned<SSL, ::SSL_free> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  std::string text_;
};

/// A server that speaks TLS, with one channel at `/c`.
template <class... Ts>
struct ServedTls : Served<Ts...> {
  explicit ServedTls(EndpointOptions options = {}, ChannelOptions channel_options = {})
      : Served<Ts...>(std::move(options), std::move(channel_options)) {
    enable_tls(this->server, tls);
  }
  /// Whether that many handshakes come to be counted.
  bool handshakes(std::uint64_t count) const {
    return eventually([&] { return tls.stats().handshakes == count; });
  }
  std::uint64_t failed(TlsFailure why) const { return tls.stats().failed[why]; }
  bool fails(TlsFailure why, std::uint64_t count = 1) const {
    return eventually([&] { return failed(why) == count; });
  }

  Certificate certificate;
  Tls tls{certificate.files()};
};

using ServedTlsAll = ServedTls<ShortPolling, LongPolling, Sse, WebSocket>;

}  // namespace downlink::testing
