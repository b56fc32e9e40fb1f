#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/sse_client.hpp"
#include "support/tls.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// A server whose connections are cut, and a subscriber over TLS who must not notice.
struct CutTls : ServedTls<ShortPolling, LongPolling, Sse, WebSocket> {
  CutTls() : ServedTls({}, {.history = {.max_messages = 2}}) {
    server.on_message("/c", [](Peer, Inbound in) -> Reply { return Message{.data = "echo " + in.data}; });
    watcher.emplace(start().port());
    watcher->handshake().send(request_text("GET", "/c", event_stream));
    watcher->read_until("downlink.open");
  }

  /// The watcher is told of this, and of nothing that it was not sent.
  void check() {
    CHECK(eventually([&] { return channel.subscriber_count() == 1 && server.connection_count() == 1; }, 20s));
    const auto id = publish("still there " + std::to_string(++checks));
    CHECK_NOTHROW(watcher->read_until(id + "\ndata: still there " + std::to_string(checks)));
  }

  std::optional<TlsClient> watcher;
  int checks = 0;
};

void end(TlsClient& client, bool reset) { reset ? client.connection().reset() : client.connection().close(); }

}  // namespace

TEST_CASE("a cut at any byte that a client sends in its handshake hurts nobody else", "[tls][scenario]") {
  CutTls server;
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto context = TlsClient::context();
  ::SSL_CTX_set_max_proto_version(context.get(), version);
  std::size_t handshake = ~std::size_t{0};
  for (std::size_t to_send = 0; to_send < handshake; ++to_send) {
    TlsClient client(Connection(server.port(), 20s), context.get());
    std::size_t sent = 0;
    while (true) {
      const bool done = client.step();
      auto bytes = client.take_output();
      if (sent + bytes.size() > to_send) bytes.resize(to_send - sent);
      client.connection().send(bytes);
      sent += bytes.size();
      if (done) handshake = std::min(handshake, sent);
      if (done || sent == to_send) break;
      client.put_input(client.connection().read_some());
    }
    end(client, to_send % 2 == 0);
  }
  CHECK(handshake > 200);
  server.check();
}

TEST_CASE("a handshake that comes a byte at a time succeeds", "[tls][RFC8446-5.1]") {
  CutTls server;
  TlsClient client(server.port());
  while (!client.step()) {
    for (const char byte : client.take_output()) client.connection().send({&byte, 1});
    client.put_input(client.connection().read_some());
  }
  const auto finished = client.take_output();
  for (const char byte : finished) client.connection().send({&byte, 1});
  CHECK(client.get("/c").find("HTTP/1.1 200") == 0);
}

TEST_CASE("a cut at any byte that a server has sent hurts nobody else", "[tls][scenario]") {
  CutTls server;
  server.publish("one");
  const std::string request =
      GENERATE(request_text("GET", "/c?cursor=earliest", event_stream), WebSocketClient::request("/c?cursor=earliest"),
               request_text("GET", "/c?cursor=earliest"), request_text("POST", "/c", {}, "hello"));
  const bool reset = GENERATE(true, false);
  const auto play = [&](std::size_t to_read) {
    TlsClient client(server.port());
    std::size_t left = to_read;
    // In small reads: what is not read when the client closes makes its system send a reset.
    const auto feed = [&] {
      client.flush();
      const auto bytes = client.connection().read_exactly(1);
      client.put_input(bytes);
      --left;
    };
    while (left > 0 && !client.step()) feed();
    if (left > 0) client.send(request);
    while (left > 0) feed();
    end(client, reset);
  };
  // How many there are in all: those of the handshake are about 1000.
  TlsClient whole(server.port());
  std::size_t all = 0;
  while (!whole.step()) {
    whole.flush();
    const auto bytes = whole.connection().read_some();
    all += bytes.size();
    whole.put_input(bytes);
  }
  whole.connection().close();
  for (std::size_t to_read = 1; to_read < all + 500; to_read += to_read < all ? 13 : 3) play(to_read);
  server.check();
}

TEST_CASE("a cut at any byte of a client's records hurts nobody else", "[tls][scenario]") {
  CutTls server;
  const bool reset = GENERATE(true, false);
  std::size_t size = 1;
  for (std::size_t sent = 0; sent < size; ++sent) {
    TlsClient client(server.port());
    client.handshake();
    const auto text = WebSocketClient::request("/c") + client_frame(ws_text, "hello") + client_frame(ws_close, "");
    ::SSL_write(client.ssl(), text.data(), static_cast<int>(text.size()));
    auto bytes = client.take_output();
    size = bytes.size();
    client.connection().send(bytes.substr(0, sent));
    end(client, reset);
  }
  CHECK(size > 150);
  server.check();
}
