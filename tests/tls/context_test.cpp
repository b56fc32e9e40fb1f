#include <asio/ssl.hpp>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>

#include "support/catch.hpp"
#include "support/sse_client.hpp"
#include "support/tls_tunnel.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

void overwrite(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

asio::ssl::context configured(const Certificate& certificate) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  context.use_certificate_chain_file(certificate.certificate());
  context.use_private_key_file(certificate.key(), asio::ssl::context::pem);
  return context;
}

}  // namespace

TEST_CASE("files that can't be used are told of by a sentence", "[tls][DESIGN-3.10]") {
  const Certificate certificate;
  const Certificate other;
  const auto sentence = [](TlsFiles files) -> std::string {
    try {
      Tls tls(std::move(files));
    } catch (const system_error& error) {
      CHECK(error.code());
      return error.what();
    }
    return "";
  };
  CHECK(sentence({}).find("can't use the certificate chain \"\"") == 0);
  CHECK(sentence({.certificate = "/nowhere", .key = other.key()}).find("No such file") != std::string::npos);
  CHECK(sentence({.certificate = certificate.certificate(), .key = "/nowhere"}).find("can't use the private key") == 0);
  CHECK(sentence({.certificate = certificate.certificate(), .key = other.key()}).find("mismatch") != std::string::npos);
  overwrite(other.certificate(), "no certificate");
  CHECK(sentence(other.files()).find("can't use the certificate chain") == 0);
  CHECK(::ERR_peek_error() == 0);
}

TEST_CASE("a server does not expect the PROXY protocol where it speaks TLS", "[tls][DESIGN-3.10]") {
  const Certificate certificate;
  net::io_context io;
  Server<Sse> server(io, {.proxy_protocol = true, .endpoint = {.trusted_proxies = {"127.0.0.1"}}});
  enable_tls(server, Tls(certificate.files()));
  CHECK_THROWS_AS(server.start(), std::invalid_argument);
}

TEST_CASE("a reload serves the new certificate to new connections, and leaves the open ones alone", "[tls]") {
  ServedTls<Sse, ShortPolling> server;
  server.certificate.write("first");
  REQUIRE_FALSE(server.tls.reload());
  server.start();
  TlsClient before(server.port());
  CHECK(before.handshake().name() == "first");
  before.send(request_text("GET", "/c", event_stream));
  TlsClient between(server.port());  // accepted before, and shakes hands after
  REQUIRE(server.connections(2));
  server.certificate.write("second");
  REQUIRE_FALSE(server.tls.reload());
  CHECK(between.handshake().name() == "second");
  TlsClient after(server.port());
  CHECK(after.handshake().name() == "second");
  CHECK(after.get("/c").find("HTTP/1.1 200") == 0);
  server.publish("still there");
  CHECK_NOTHROW(before.read_until("still there"));

  overwrite(server.certificate.key(), "broken");
  CHECK(server.tls.reload());
  CHECK(TlsClient(server.port()).handshake().name() == "second");
}

TEST_CASE("reloads from another thread go on while clients come and go", "[tls]") {
  ServedTls<ShortPolling> server;
  server.start();
  std::atomic<bool> stop{false};
  std::thread reloading([&] {
    while (!stop) server.tls.reload();
  });
  for (int i = 0; i < 100; ++i) CHECK(TlsClient(server.port()).handshake().get("/c").find("HTTP/1.1 200") == 0);
  stop = true;
  reloading.join();
}

TEST_CASE("a context of Asio's configures it, and may ask clients for certificates", "[tls]") {
  const Certificate certificate("by asio");
  const Certificate known("a client");
  const Certificate unknown("a stranger");
  Served<ShortPolling> server;
  auto context = configured(certificate);
  context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  context.load_verify_file(known.certificate());
  int asked = 0;
  context.set_verify_callback([&](bool good, asio::ssl::verify_context&) {
    ++asked;
    return good;
  });
  const Tls tls(std::move(context));
  enable_tls(server.server, tls);
  server.start();
  const auto answer = [&](const Certificate* shown) {
    const auto client = TlsClient::context();
    if (shown) {
      ::SSL_CTX_use_certificate_chain_file(client.get(), shown->certificate().c_str());
      ::SSL_CTX_use_PrivateKey_file(client.get(), shown->key().c_str(), SSL_FILETYPE_PEM);
    }
    TlsClient made(Connection(server.port(), 20s), client.get());
    try {
      CHECK(made.handshake().name() == "by asio");
      return made.get("/c").substr(0, 12);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  CHECK(answer(&known) == "HTTP/1.1 200");
  CHECK(answer(&unknown).find("HTTP") == std::string::npos);
  CHECK(answer(nullptr).find("HTTP") == std::string::npos);
  CHECK(eventually([&] { return tls.stats().failed[TlsFailure::client_certificate] == 2; }));
  CHECK(asked > 0);
}

TEST_CASE("a client that is refused for its certificate gets the alert, and no reset", "[tls][RFC8446-6.2]") {
  const Certificate certificate;
  Served<ShortPolling> server;
  auto context = configured(certificate);
  context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  enable_tls(server.server, Tls(std::move(context)));
  server.start();
  // With TLS 1.3 its request is on its way before it can know.
  for (int i = 0; i < 20; ++i) {
    TlsClient client(server.port());
    client.handshake().send(request_text("POST", "/c", "", std::string(100'000, 'b')));
    std::string alert;
    CHECK_NOTHROW([&] {
      for (auto more = client.connection().read_some(); !more.empty(); more = client.connection().read_some()) {
        alert += more;
      }
    }());
    CHECK(!alert.empty());
    client.connection().close();
  }
  CHECK(eventually([&] { return server.server.connection_count() == 0; }));
}

TEST_CASE("a context without a least version gets 1.2, and keeps one that was set", "[tls][RFC8996-4]") {
  const Certificate certificate;
  const bool old = GENERATE(false, true);
  Served<ShortPolling> server;
  auto context = configured(certificate);
  ::SSL_CTX_set_min_proto_version(context.native_handle(), old ? TLS1_VERSION : 0);
  ::SSL_CTX_set_security_level(context.native_handle(), 0);
  enable_tls(server.server, Tls(std::move(context)));
  server.start();
  const auto client = TlsClient::context();
  ::SSL_CTX_set_security_level(client.get(), 0);
  ::SSL_CTX_set_min_proto_version(client.get(), TLS1_VERSION);
  ::SSL_CTX_set_max_proto_version(client.get(), TLS1_1_VERSION);
  CHECK(TlsClient(Connection(server.port(), 20s), client.get()).refusal().empty() == old);
}

TEST_CASE("a stream of Asio's that the application has shaken hands on is served to its end", "[tls][embedding]") {
  const bool one_thread = GENERATE(true, false);
  const Certificate certificate;
  Channel channel({.max_lag = 64 << 20});
  const Publisher publisher(channel);
  Loop loop;
  Endpoint<Sse, WebSocket, LongPolling, ShortPolling> endpoint(loop.context(), {.one_thread = one_thread});
  endpoint.route("/c", channel);
  endpoint.on_message("/c", [](Peer, Inbound in) -> Reply { return Message{.data = in.data}; });
  auto context = configured(certificate);
  asio::ip::tcp::acceptor acceptor(loop.context(), {asio::ip::make_address("127.0.0.1"), 0});
  using Stream = asio::ssl::stream<asio::ip::tcp::socket>;
  const auto served = [&] {
    TlsTunnel* made = nullptr;
    std::thread client([&] { made = new TlsTunnel(Connection(acceptor.local_endpoint().port(), 20s)); });
    Stream stream(acceptor.accept(), context);
    stream.handshake(Stream::server);
    client.join();
    CHECK_FALSE(adopt_tls(endpoint, std::move(stream), ""));
    return std::unique_ptr<TlsTunnel>(made);
  };
  auto sse_way = served();
  SseClient sse(sse_way->connection(), "/c");
  sse.open();
  auto ws_way = served();
  WebSocketClient ws(ws_way->connection(), "/c");
  REQUIRE(eventually([&] { return channel.subscriber_count() == 2; }));
  for (int i = 0; i < 300; ++i) publisher.publish({.data = std::string(10'000, 'x') + std::to_string(i)});
  for (int i = 0; i < 300; ++i) {
    REQUIRE((sse.next_event().data == std::string(10'000, 'x') + std::to_string(i)));
    REQUIRE((ws.next_message().payload == std::string(10'000, 'x') + std::to_string(i)));
  }
  ws.send_text(std::string(100'000, 'y'));
  CHECK((ws.next_message().payload == std::string(100'000, 'y')));
  ws.send_close(1000);
  CHECK(ws.closes().close_code() == 1000);
  sse.connection().close();
  auto poll_way = served();
  auto http = poll_way->connection();
  for (int i = 0; i < 3; ++i) {
    http.send(request_text("GET", "/c?history=1"));
    CHECK(http.read_response().body.find("x299") != std::string::npos);
  }
  http.send(request_text("GET", "/c?wait=60"));
  REQUIRE(eventually([&] { return channel.subscriber_count() == 1; }));
  http.close();
  CHECK(eventually([&] { return channel.subscriber_count() == 0 && endpoint.connection_count() == 0; }));
}

TEST_CASE("a stream of another loop's is not taken over", "[tls][embedding]") {
  asio::io_context own;
  asio::io_context other;
  asio::ssl::context context(asio::ssl::context::tls_server);
  Endpoint<Sse> endpoint(own);
  CHECK(adopt_tls(endpoint, asio::ssl::stream<asio::ip::tcp::socket>(other, context), "") == errc::foreign_executor);
}
