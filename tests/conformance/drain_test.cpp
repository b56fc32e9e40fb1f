#include <signal.h>

#include "conformance/hub.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t large = 1'000'000;

bool refuses_connections(std::uint16_t port) {
  return eventually(
      [&] {
        try {
          Connection probe(port);
          return false;
        } catch (const std::exception&) {
          return true;
        }
      },
      20s);
}

}  // namespace

TEST_CASE("a hub that is told to end serves what has begun, and nothing new", "[conformance][WIRE-9]") {
  const int number = GENERATE(SIGTERM, SIGINT);
  const std::string threads = GENERATE("1", "2");
  CAPTURE(number, threads);
  Hub hub({"--threads", threads, "--drain-timeout", "10"});
  const auto port = hub.port();
  CHECK(post(port, "/channels/c", std::string(large, 'x')).status == 202);

  // A body that lacks its end, a head that does, and answers, a message and an event that are being taken.
  auto body = hub.connect();
  body.send("POST /channels/d HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  CHECK(body.read_response().status == 100);
  auto head = hub.connect();
  head.send(request_text("GET", "/healthz"));
  CHECK(head.read_response().status == 200);
  head.send("GET /healthz HTTP/1.1\r\nHo");
  auto poll = slow_connection(port);
  poll.send(request_text("GET", "/channels/c?cursor=earliest"));
  CHECK(poll.read_exactly(12) == "HTTP/1.1 200");
  WebSocketClient socket(slow_connection(port), "/channels/c?cursor=earliest", WebSocketClient::v1);
  CHECK(socket.open().event == "downlink.open");
  SseClient stream(slow_connection(port), "/channels/c?cursor=earliest");
  stream.open();
  auto held = hub.connect();
  held.send(request_text("GET", "/channels/d?wait=60"));
  auto silent = hub.connect();
  const std::string all = "\ndownlink_connections 8\n";
  REQUIRE(eventually([&] { return get(port, "/metrics").body.find(all) != std::string::npos; }, 20s));
  // Connections take turns on the threads: each thread has answered what came after all of these.
  for (int i = 0; i < 4; ++i) REQUIRE(get(port, "/healthz").status == 200);

  hub.program().send_signal(number);
  const auto none = held.read_response();
  CHECK(none.status == 200);
  CHECK(none.lists("Connection", "close"));
  CHECK(refuses_connections(port));
  CHECK(silent.wait_for_end(20s) == Connection::End::closed);

  body.send("body");
  const auto taken = body.read_response();
  CHECK(taken.status == 202);
  CHECK(taken.lists("Connection", "close"));
  CHECK(body.wait_for_end(20s) == Connection::End::closed);
  head.send("st: h\r\n\r\n" + request_text("GET", "/healthz"));
  const auto healthy = head.read_response();
  CHECK(healthy.status == 200);
  CHECK(healthy.lists("Connection", "close"));
  CHECK(head.read_to_end().empty());
  poll.read_until("\r\n\r\n");
  const auto rest = poll.read_to_end();
  CHECK(rest.size() > large);
  CHECK(rest.ends_with("\"}]}"));

  const auto message = socket.next_v1();
  CHECK((message.data == std::string(large, 'x')));
  CHECK(socket.closes().close_code() == 1001);
  CHECK((stream.next_event().data == std::string(large, 'x')));
  CHECK(stream.ends());
  for (auto* connection : {&body, &head, &poll, &held, &silent, &socket.connection(), &stream.connection()}) {
    connection->close();
  }
  CHECK(hub.program().exit_code() == 0);
  CHECK(hub.program().error_output().empty());
}

TEST_CASE("a hub ends in time whatever its clients do", "[conformance][WIRE-9]") {
  Hub hub({"--drain-timeout", "0.3"});
  const auto port = hub.port();
  CHECK(post(port, "/channels/c", std::string(large, 'x')).status == 202);
  auto half = hub.connect();
  half.send("POST /channels/c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo");
  WebSocketClient socket(slow_connection(port), "/channels/c?cursor=earliest", WebSocketClient::v1);
  CHECK(socket.open().event == "downlink.open");
  hub.program().send_signal(SIGTERM);
  CHECK(hub.program().exit_code() == 0);
  CHECK(half.closed_by_peer());
}

TEST_CASE("a second signal ends the hub at once", "[conformance][WIRE-9]") {
  Hub hub({"--drain-timeout", "3600"});
  const auto port = hub.port();
  WebSocketClient socket(port, "/channels/c");
  auto half = hub.connect();
  half.send("GET /hea");
  REQUIRE(
      eventually([&] { return get(port, "/metrics").body.find("\ndownlink_connections 3\n") != std::string::npos; }));
  hub.program().send_signal(SIGTERM);
  REQUIRE(refuses_connections(port));
  hub.program().send_signal(SIGINT);
  CHECK(hub.program().exit_code() == 0);
}
