#include <chrono>
#include <string>

#include "support/catch.hpp"
#include "support/tls.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

struct TlsServer : ServedTls<Sse, ShortPolling> {
  explicit TlsServer(EndpointOptions options = {}) : ServedTls(std::move(options)) { start(); }

  std::string refusal(const TlsClient::Context& context) {
    return TlsClient(Connection(port(), 20s), context.get()).refusal();
  }
};

TlsClient::Context client_context(auto&& configure) {
  auto context = TlsClient::context();
  configure(context.get());
  return context;
}

}  // namespace

TEST_CASE("TLS 1.2 and 1.3 are spoken, and nothing older", "[tls][RFC8996-4]") {
  TlsServer server;
  const auto only = [](int version) {
    return client_context([=](SSL_CTX* context) {
      ::SSL_CTX_set_security_level(context, 0);
      ::SSL_CTX_set_min_proto_version(context, version);
      ::SSL_CTX_set_max_proto_version(context, version);
    });
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto context = only(version);
    TlsClient client(server.connect(), context.get());
    client.handshake();
    CHECK(client.version() == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
    CHECK(client.get("/c").find("HTTP/1.1 200") == 0);
  }
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    CHECK(server.refusal(only(version)).find("protocol version") != std::string::npos);
  }
  CHECK(server.fails(TlsFailure::version, 2));
  CHECK(server.handshakes(2));
}

TEST_CASE("ALPN chooses HTTP/1.1, and a client that offers something else alone is turned away", "[tls][RFC7301-3.2]") {
  TlsServer server;
  const auto offer = [](std::string protocols) {
    return client_context([=](SSL_CTX* context) {
      ::SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                                static_cast<unsigned>(protocols.size()));
    });
  };
  const auto chosen = [&](const std::string& protocols) {
    const auto context = offer(protocols);
    TlsClient client(server.connect(), context.get());
    client.handshake();
    const unsigned char* name = nullptr;
    unsigned size = 0;
    ::SSL_get0_alpn_selected(client.ssl(), &name, &size);
    return std::string(reinterpret_cast<const char*>(name), size);
  };
  CHECK(chosen("\x02h2\x08http/1.1") == "http/1.1");
  CHECK(chosen("\x08http/1.0") == "http/1.0");
  CHECK(server
            .refusal(offer("\x02h2\x03"
                           "ftp"))
            .find("no application protocol") != std::string::npos);
  CHECK(server.fails(TlsFailure::nothing_in_common, 1));
}

TEST_CASE("a client without a cipher in common is told so, and counted", "[tls][RFC8446-4.1.1]") {
  TlsServer server;
  const auto context = client_context([](SSL_CTX* made) {
    ::SSL_CTX_set_max_proto_version(made, TLS1_2_VERSION);
    ::SSL_CTX_set_cipher_list(made, "AES128-SHA");
  });
  CHECK(server.refusal(context).find("handshake failure") != std::string::npos);
  CHECK(server.fails(TlsFailure::nothing_in_common, 1));
}

TEST_CASE("a client that trusts nobody here turns the certificate down, and is counted", "[tls][RFC8446-6.2]") {
  TlsServer server;
  const auto context = client_context([](SSL_CTX* made) { ::SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nullptr); });
  TlsClient client(server.connect(), context.get());
  CHECK_THROWS(client.handshake());
  client.flush();
  CHECK(server.fails(TlsFailure::refused_by_client));
}

TEST_CASE("what is no TLS ends its connection, and nothing else", "[tls][RFC8446-6]") {
  TlsServer server;
  TlsClient watcher(server.port());
  watcher.handshake().send(request_text("GET", "/c", event_stream));
  watcher.read_until("\r\n\r\n");
  const std::string bytes = GENERATE(
      std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), std::string("PUT /c HTTP/1.1\r\n\r\n"),
      std::string("CONNECT a:1 HTTP/1.1\r\n\r\n"), std::string(100, '\0'), std::string(100, '\x16'),
      std::string("\x16\x03\x01\xff\xff", 5) + std::string(1000, 'x'), std::string(70'000, '\xff'),
      std::string("\x15\x03\x03\x00\x02\x02\x28", 7), std::string("\x80\x2e\x01\x00\x02", 5) + std::string(60, 'x'));
  auto client = server.connect();
  client.try_send(bytes);
  CHECK(client.closed_by_peer(20s));
  client.close();
  CHECK(server.connections(1));
  const auto stats = server.tls.stats();
  CHECK(stats.handshakes == 1);
  std::uint64_t failed = 0;
  for (const auto count : stats.failed.figures) failed += count;
  CHECK(failed == 1);
  CHECK(server.server.stats().requests == 1);
  server.publish("all the same");
  CHECK_NOTHROW(watcher.read_until("all the same"));
}

TEST_CASE("plain HTTP at a TLS port is counted as no TLS", "[tls]") {
  TlsServer server;
  auto client = server.connect();
  client.send(request_text("GET", "/c"));
  CHECK(client.closed_by_peer(20s));
  CHECK(server.fails(TlsFailure::not_tls));
}

TEST_CASE("a handshake that is not over with the head's time-out is cut off", "[tls][WIRE-8]") {
  TlsServer server({.head_timeout = 200ms});
  auto silent = server.connect();
  auto slow = server.connect();
  TlsClient half(server.port());
  half.step();
  const auto hello = half.take_output();
  slow.send(hello.substr(0, 3));
  half.connection().send(hello);
  CHECK(silent.closed_by_peer(20s));
  CHECK(slow.closed_by_peer(20s));
  CHECK(half.connection().closed_by_peer(20s));
  CHECK(server.fails(TlsFailure::unfinished, 3));
  CHECK(server.connections(0));
}

TEST_CASE("a client that is told that its handshake failed, and sends on, is cut off in time", "[tls][WIRE-8]") {
  TlsServer server({.head_timeout = 200ms});
  auto client = server.connect();
  client.try_send("GET / HTTP/1.1\r\n\r\n");
  CHECK(client.closed_by_peer(20s));
  CHECK(eventually([&] {
    client.try_send("more");
    return server.server.connection_count() == 0;
  }));
  CHECK(server.fails(TlsFailure::not_tls));
}

TEST_CASE("the head's time-out covers the handshake and the head together", "[tls][WIRE-8]") {
  TlsServer server({.head_timeout = 300ms});
  TlsClient client(server.port());
  client.handshake();
  SECTION("without a byte of a request the connection is closed, with close_notify") {
    CHECK(client.read_to_end().empty());
  }
  SECTION("within a request it is answered with 408") {
    client.send("GET /c HT");
    CHECK(client.read_to_end().find("HTTP/1.1 408") == 0);
  }
  CHECK(server.handshakes(1));
  CHECK(server.failed(TlsFailure::unfinished) == 0);
}

TEST_CASE("a client that goes away within the handshake is counted", "[tls]") {
  TlsServer server;
  auto client = server.connect();
  client.send("\x16\x03\x01");
  SECTION("orderly") { client.close(); }
  SECTION("by a reset") { client.reset(); }
  CHECK(server.fails(TlsFailure::client_left));
  CHECK(server.connections(0));
}

TEST_CASE("limits on connections hold for those that have not finished their handshake", "[tls][WIRE-8]") {
  TlsServer server({.max_connections = 2});
  auto first = server.connect();
  auto second = server.connect();
  REQUIRE(server.connections(2));
  CHECK(TlsClient(server.port()).handshake().get("/c").find("HTTP/1.1 503") == 0);
  first.close();
  REQUIRE(server.connections(1));
  TlsClient fourth(server.port());
  CHECK(fourth.handshake().get("/c").find("HTTP/1.1 200") == 0);
}

TEST_CASE("renegotiation is refused, and the connection lives on", "[tls][RFC5246-7.4.1.1]") {
  TlsServer server;
  const auto context = client_context([](SSL_CTX* made) { ::SSL_CTX_set_max_proto_version(made, TLS1_2_VERSION); });
  TlsClient client(server.connect(), context.get());
  client.handshake();
  ::SSL_renegotiate(client.ssl());
  ::SSL_do_handshake(client.ssl());
  client.flush();
  // The answer is the alert no_renegotiation, which makes OpenSSL's client give up.
  std::string why;
  try {
    client.read_some();
  } catch (const std::exception& error) {
    why = error.what();
  }
  CHECK(why.find("no renegotiation") != std::string::npos);
  CHECK(server.handshakes(1));
}

TEST_CASE("a client resumes its session by a ticket, with either version", "[tls][RFC8446-2.2][RFC5077]") {
  TlsServer server;
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto context = client_context([=](SSL_CTX* made) { ::SSL_CTX_set_max_proto_version(made, version); });
  TlsClient first(server.connect(), context.get());
  CHECK(first.handshake().get("/c").find("HTTP/1.1 200") == 0);
  const Owned<SSL_SESSION, ::SSL_SESSION_free> session(::SSL_get1_session(first.ssl()));
  TlsClient second(server.connect(), context.get());
  ::SSL_set_session(second.ssl(), session.get());
  CHECK(second.handshake().get("/c").find("HTTP/1.1 200") == 0);
  CHECK(::SSL_session_reused(second.ssl()) == 1);
  CHECK(server.handshakes(2));
  CHECK(server.tls.stats().resumed == 1);
}
