#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <downlink/deflate.hpp>
#include <downlink/downlink.hpp>

#include "deflate/zlib_counts.hpp"
#include "support/catch.hpp"
#include "support/deflate.hpp"
#include "support/loop.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::string_literals;

namespace {

constexpr std::string_view v1 = WebSocketClient::v1;

struct DeflateServer : Served<WebSocket, Sse> {
  explicit DeflateServer(EndpointOptions options = {}) : Served(std::move(options)) { enable_deflate(server); }
};

/// One that answers each message with itself.
struct DeflateEcho : DeflateServer {
  explicit DeflateEcho(std::size_t max_message = std::size_t{1} << 20) : DeflateServer({.max_message = max_message}) {
    server.on_message("/c", [](Peer, Inbound in) { return Reply(Message{.data = in.data, .binary = in.binary}); });
    start();
  }
};

/// What a server that echoes closes with after these bytes.
std::uint16_t closes_with(const DeflateEcho& echo, const std::string& bytes) {
  auto client = deflate_client(echo.port(), "/c");
  client.connection().send(bytes);
  return client.closes().close_code();
}

}  // namespace

TEST_CASE("the handshake says what was agreed on", "[deflate][RFC7692-5][wire-5]") {
  DeflateServer served;
  served.start();
  const auto answer = [&](std::string_view headers) {
    return WebSocketClient(served.port(), "/c", headers).head().header("Sec-WebSocket-Extensions");
  };
  const std::string plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  CHECK_FALSE(answer(""));
  CHECK(answer("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n") == plain);
  CHECK(answer("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n") ==
        plain + "; server_max_window_bits=10");
  CHECK(answer("Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: permessage-deflate; x, "
               "permessage-deflate\r\n") == plain);
  CHECK_FALSE(answer("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n"));
  CHECK_FALSE(answer("Sec-WebSocket-Extensions: ;;=\"\r\n"));
}

TEST_CASE("a server that was not told to compress takes no offer", "[deflate][RFC7692-6][wire-5]") {
  Served<WebSocket> served;
  served.server.on_message("/c", [](Peer, Inbound) {});
  served.start();
  WebSocketClient client(served.port(), "/c", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  CHECK_FALSE(client.head().header("Sec-WebSocket-Extensions"));
  CHECK(served.subscribers(1));
  served.publish(words(1'000));
  CHECK(client.next_message().payload == words(1'000));
  client.connection().send(deflated_frame(ws_text, deflated("x")));
  CHECK(client.closes().close_code() == 1002);
}

TEST_CASE("subscribers of all windows and of none get the same, compressed once for each", "[deflate][wire-5]") {
  DeflateServer served;
  served.start();
  std::vector<WebSocketClient> raw;
  std::vector<WebSocketClient> named;
  for (const std::string bits : {"8", "9", "15", "15", "10"}) {
    raw.push_back(deflate_client(served.port(), "/c", "permessage-deflate; server_max_window_bits=" + bits));
  }
  for (int i = 0; i < 5; ++i) raw.push_back(deflate_client(served.port(), "/c"));
  raw.emplace_back(served.port(), "/c");
  for (int i = 0; i < 5; ++i) named.push_back(deflate_client(served.port(), "/c", "permessage-deflate", v1));
  named.emplace_back(served.port(), "/c", v1);
  for (auto& client : named) client.open();
  REQUIRE(served.subscribers(17));

  const auto before = zlib_counts.deflated.load();
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < 50; ++i) ids.push_back(served.publish(words(100 + 41 * i)));
  for (std::size_t i = 0; i < 50; ++i) {
    const std::string expected = words(100 + 41 * i);
    for (auto& client : raw) REQUIRE(client.next_message().payload == expected);
    for (auto& client : named) {
      const auto message = client.next_v1();
      REQUIRE(message.id == ids[i]);
      REQUIRE(message.data == expected);
    }
  }
  CHECK(zlib_counts.deflated - before == 50 * 5);  // raw with 8, 9, 10 and 15 bits, and the subprotocol with 15
  CHECK(raw[2].compressed() == 50);
  CHECK(raw[2].received() < raw.back().received() * 2 / 3);
  CHECK(raw.back().compressed() == 0);

  // Whoever resumes is sent what is there.
  auto late = deflate_client(served.port(), "/c?cursor=" + ids[9], "permessage-deflate", v1);
  CHECK(late.open().id == ids[9]);
  for (std::size_t i = 10; i < 50; ++i) CHECK(late.next_v1().id == ids[i]);
  CHECK(zlib_counts.deflated - before == 50 * 5);
}

TEST_CASE("a gap is told to who gets compressed messages", "[deflate][wire-1][wire-5]") {
  DeflateServer served;
  served.start();
  const auto id = served.publish(words(200));
  auto client = deflate_client(served.port(), "/c?cursor=another-1", "permessage-deflate", v1);
  CHECK_FALSE(client.open().id);
  CHECK(client.next_v1().event == "downlink.gap");
  CHECK(client.next_v1().id == id);
  CHECK(client.compressed() == 1);
}

TEST_CASE("compressed messages of any kind and in any pieces are taken", "[deflate][RFC7692-6.1][wire-6]") {
  DeflateEcho echo;
  auto client = deflate_client(echo.port(), "/c");
  const std::string text = words(3'000) + "gr\u00fc\u00df";
  const std::string payload = deflated(text);
  const auto echoed = [&](unsigned opcode, std::string_view expected) {
    const auto answer = client.next_message();
    CHECK(answer.opcode == opcode);
    CHECK((answer.payload == expected));
  };
  client.connection().send(deflated_frame(ws_text, payload));
  echoed(ws_text, text);
  CHECK(client.compressed() == 1);
  client.connection().send(deflated_frame(ws_binary, deflated("\xFF\xFE"s)));
  echoed(ws_binary, "\xFF\xFE");
  client.connection().send(deflated_frame(ws_text, "\x00"s));
  echoed(ws_text, "");
  client.connection().send(deflated_frame(ws_text, ""));
  echoed(ws_text, "");
  client.connection().send(deflated_frame(ws_text, deflated(text, true)));
  echoed(ws_text, text);
  client.send_text("not compressed");
  echoed(ws_text, "not compressed");

  // Fragments, one of them empty, with a ping among them.
  client.connection().send(deflated_frame(ws_text, payload.substr(0, 10), false));
  client.send(ws_ping, "?");
  client.send(ws_continuation, "", {.fin = false});
  client.send(ws_continuation, payload.substr(10, 1), {.fin = false});
  client.send(ws_continuation, payload.substr(11));
  const auto pong = client.next_frame();
  CHECK(pong.opcode == ws_pong);
  CHECK(pong.payload == "?");
  echoed(ws_text, text);

  for (const char byte : deflated_frame(ws_text, payload)) client.connection().send(std::string(1, byte));
  echoed(ws_text, text);
  CHECK(eventually([] { return zlib_counts.inflating == 0; }));
  CHECK(zlib_counts.memory == 0);
}

TEST_CASE("a bad compressed message closes with the code that says why", "[deflate][RFC7692-6.1][wire-5]") {
  const DeflateEcho echo(100'000);
  const std::string payload = deflated(words(1'000));
  CHECK(closes_with(echo, deflated_frame(ws_text, payload.substr(0, 9), false) +
                              deflated_frame(ws_continuation, payload.substr(9))) == 1002);
  CHECK(closes_with(echo, client_frame(ws_ping, "", {.rsv = 4})) == 1002);
  CHECK(closes_with(echo, client_frame(ws_text, payload, {.rsv = 6})) == 1002);
  CHECK(closes_with(echo, client_frame(ws_text, payload, {.rsv = 1})) == 1002);
  CHECK(closes_with(echo, deflated_frame(ws_text, "\xFF\xFF\xFF\xFF")) == 1007);
  CHECK(closes_with(echo, deflated_frame(ws_binary, payload.substr(0, 50))) == 1007);
  CHECK(closes_with(echo, deflated_frame(ws_text, deflated("\xC3("))) == 1007);
  // With what shows it, not at the frame's or the message's end.
  const auto bad = deflated_frame(ws_text, deflated("\xC3(" + words(5000)), false);
  CHECK(closes_with(echo, bad) == 1007);
  CHECK(closes_with(echo, bad.substr(0, 1000)) == 1007);
  CHECK(closes_with(echo, deflated_frame(ws_text, deflated(std::string(100'001, 'x')))) == 1009);
  CHECK(closes_with(echo, deflated_frame(ws_binary, std::string(112'565, 'x'))) == 1009);  // already as sent
  // Nothing that comes behind such a message is looked at.
  CHECK(closes_with(echo, deflated_frame(ws_text, "\xFF") + client_frame(ws_text, "x")) == 1007);
}

TEST_CASE("a message of the largest size may become larger when it is compressed", "[deflate][wire-5]") {
  const DeflateEcho echo(60'000);
  auto client = deflate_client(echo.port(), "/c");
  std::string bytes;
  std::uint32_t state = 1;
  while (bytes.size() < 60'000) bytes += static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  const std::string payload = deflated(bytes);
  REQUIRE(payload.size() > bytes.size());
  client.connection().send(deflated_frame(ws_binary, payload));
  CHECK((client.next_message().payload == bytes));
}

TEST_CASE("bombs end their own connections and nothing else", "[deflate][wire-5]") {
  const DeflateEcho echo;
  auto bystander = deflate_client(echo.port(), "/c");
  const auto before = zlib_counts.bytes.load();
  zlib_counts.most_memory = 0;
  const std::string bomb = deflated_frame(ws_binary, deflated(std::string(std::size_t{32} << 20, '\0')));
  for (int i = 0; i < 8; ++i) CHECK(closes_with(echo, bomb) == 1009);
  CHECK(zlib_counts.bytes - before <= 8 * ((std::size_t{1} << 20) + (16 << 10)));
  CHECK(zlib_counts.most_memory <= 48 << 10);
  bystander.connection().send(deflated_frame(ws_text, deflated("still here")));
  CHECK(bystander.next_message().payload == "still here");
}

TEST_CASE("other transports know nothing of it", "[deflate][wire-4]") {
  DeflateServer served;
  served.start();
  SseClient client(served.port(), "/c", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  CHECK_FALSE(client.head().header("Sec-WebSocket-Extensions"));
  CHECK_FALSE(client.head().header("Content-Encoding"));
}
