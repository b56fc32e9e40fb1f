#include <asio/ssl.hpp>
#include <chrono>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/limits.hpp"
#include "support/slow_connection.hpp"
#include "support/tls.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// An endpoint that takes over a TLS stream of the application's, whose handshake is over.
struct Adopted {
  using Stream = asio::ssl::stream<asio::ip::tcp::socket>;

  explicit Adopted(EndpointOptions options) : endpoint(loop.context(), std::move(options)) {
    endpoint.route("/c", channel);
    context.use_certificate_chain_file(certificate.certificate());
    context.use_private_key_file(certificate.key(), asio::ssl::context::pem);
  }

  Stream handshake() {
    Stream stream(acceptor.accept(), context);
    stream.lowest_layer().set_option(asio::socket_base::send_buffer_size(2048));
    std::thread shaking([&] { client.handshake(); });
    stream.handshake(Stream::server);
    shaking.join();
    return stream;
  }
  /// Returns whether it was taken over and has begun.
  bool adopt() {
    if (adopt_tls(endpoint, handshake(), "")) return false;
    return eventually([&] { return endpoint.connection_count() == 1; });
  }

  const Certificate certificate;
  Channel channel;
  Loop loop;
  Endpoint<WebSocket, ShortPolling> endpoint;
  asio::ssl::context context{asio::ssl::context::tls_server};
  asio::ip::tcp::acceptor acceptor{loop.context(), {asio::ip::make_address("127.0.0.1"), 0}};
  TlsClient client{slow_connection(acceptor.local_endpoint().port(), 2048)};
};

}  // namespace

TEST_CASE("a client that reads slowly gets the last answer of an adopted stream whole, and close_notify",
          "[tls][embedding]") {
  const bool one_thread = GENERATE(true, false);
  const std::string data(60'000, 'x');
  Adopted test({.linger_timeout = 300ms, .one_thread = one_thread});
  REQUIRE(Publisher(test.channel).publish({.data = data}));
  REQUIRE(test.adopt());
  test.client.send(request_text("GET", "/c?cursor=earliest", "Connection: close\r\n"));
  // Nothing is read for longer than a connection lingers: this one is not at its end.
  CHECK_FALSE(eventually([&] { return test.endpoint.connection_count() == 0; }, 600ms));
  std::string answer;
  CHECK_NOTHROW(answer = test.client.read_to_end());
  CHECK((answer.find('"' + data + "\"}]}") != std::string::npos));
  test.client.connection().close();
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("an adopted stream is told to go on with a body that it announces", "[tls][embedding][RFC9110-10.1.1]") {
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  Adopted test({.one_thread = GENERATE(true, false)});
  test.endpoint.on_message("/c", [](const Peer&, Inbound in) { return Message{.data = in.data}; });
  REQUIRE(test.adopt());
  test.client.send(
      "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
  CHECK(test.client.read_until("\r\n\r\n") == interim);
  test.client.send("body");
  const auto answer = test.client.read_to_end();
  CHECK(answer.starts_with("HTTP/1.1 202 "));
  CHECK(answer.ends_with("\r\n\r\nbody"));
  test.client.connection().close();
}

TEST_CASE("a WebSocket peer that answers no ping is dropped from an adopted stream too", "[tls][embedding][WIRE-5]") {
  const bool busy = GENERATE(false, true);
  Adopted test({.stream = {.heartbeat = 200ms}});
  REQUIRE(test.adopt());
  test.client.send(request_text("GET", "/c", asks_for_websocket));
  REQUIRE(test.client.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
  // That the system takes what is sent to it is no sign of life.
  const Publisher publisher(test.channel);
  const auto gone = [&] {
    if (busy && publisher.publish({.data = "x"})) test.client.read_until("x");
    return test.endpoint.connection_count() == 0;
  };
  bool dropped = false;
  try {
    dropped = eventually(gone);
  } catch (const std::exception&) {  // the client sees it first
    dropped = eventually([&] { return test.endpoint.connection_count() == 0; });
  }
  CHECK(dropped);
}

TEST_CASE("a client of an adopted stream that is refused in the middle of its body gets the answer, and no reset",
          "[tls][embedding][WIRE-8]") {
  Adopted test({.max_message = 1000, .one_thread = GENERATE(true, false)});
  test.endpoint.on_message("/c", [](const Peer&, Inbound) {});
  REQUIRE(test.adopt());
  REQUIRE_NOTHROW(test.client.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n"));
  for (int i = 0; i < 400; ++i) REQUIRE_NOTHROW(test.client.send(std::string(10'000, 'b')));
  std::string answer;
  CHECK_NOTHROW(answer = test.client.read_to_end());
  CHECK(answer.starts_with("HTTP/1.1 413 "));
  CHECK(answer.ends_with("}"));
  CHECK(test.client.connection().read_some().empty());
  test.client.connection().close();
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("an adopted stream whose client says nothing is closed with close_notify", "[tls][embedding][RFC8446-6.1]") {
  Adopted test({.head_timeout = 50ms, .one_thread = GENERATE(true, false)});
  REQUIRE(test.adopt());
  std::string answer = "nothing";
  CHECK_NOTHROW(answer = test.client.read_to_end());
  CHECK(answer.empty());
}

TEST_CASE("a client of an adopted stream that has its answer and goes is not waited for", "[tls][embedding][WIRE-8]") {
  Adopted test({.linger_timeout = 1h, .one_thread = GENERATE(true, false)});
  const bool resets = GENERATE(false, true);
  REQUIRE(test.adopt());
  test.client.send(request_text("GET", "/c", "Connection: close\r\n"));
  CHECK(test.client.read_to_end().starts_with("HTTP/1.1 200 "));
  std::this_thread::sleep_for(50ms);  // so that it lingers
  if (resets) {
    const linger at_once{1, 0};
    ::setsockopt(test.client.connection().native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  test.client.connection().close();  // without close_notify
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("a drain answers what has come to an adopted stream, and ends one to which nothing has with close_notify",
          "[tls][embedding][WIRE-9][RFC8446-6.1]") {
  Adopted test({.one_thread = GENERATE(true, false)});
  const bool asks = GENERATE(true, false);
  REQUIRE(test.adopt());
  std::promise<void> drained;
  test.loop.run_on([&] {
    if (asks) test.client.send(request_text("GET", "/c"));
    test.endpoint.async_drain(20s, [&] { drained.set_value(); });
  });
  std::string answer = "nothing";
  CHECK_NOTHROW(answer = test.client.read_to_end());
  CHECK(answer.starts_with(asks ? "HTTP/1.1 200 " : ""));
  CHECK(answer.empty() != asks);
  test.client.connection().close();
  CHECK(drained.get_future().wait_for(20s) == std::future_status::ready);
}
