#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

struct WebSocketServer {
  explicit WebSocketServer(ChannelOptions channel_options = {}, EndpointOptions endpoint = {})
      : channel(std::move(channel_options)), publisher(channel), server(loop.context(), {.endpoint = endpoint}) {
    server.route("/c", channel);
  }
  std::uint16_t start() {
    server.start();
    return server.port();
  }
  std::string publish(Message message) { return publisher.publish(std::move(message)).value().to_string(); }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Server<WebSocket> server;
};

/// One that answers each message with itself.
struct EchoServer : WebSocketServer {
  explicit EchoServer(EndpointOptions endpoint = {}) : WebSocketServer({}, std::move(endpoint)) {
    server.on_message("/c", [](Peer, Inbound in) { return Reply(Message{.data = in.data, .binary = in.binary}); });
  }
};

/// What handlers note, for the test's own thread to look at.
class Notes {
 public:
  void add(std::string note) {
    const std::lock_guard guard(mutex_);
    notes_.push_back(std::move(note));
  }
  std::vector<std::string> all() const {
    const std::lock_guard guard(mutex_);
    return notes_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
};

}  // namespace

TEST_CASE("the handshake answers with the accept of RFC 6455 §1.3", "[scenario][WIRE-5]") {
  WebSocketServer s;
  WebSocketClient client(s.start(), "/c");
  CHECK(client.head().header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(client.head().lists("Connection", "Upgrade"));
  CHECK(client.head().header("Upgrade") == "websocket");
  CHECK(client.head().header("Date"));
  CHECK_FALSE(client.head().header("Sec-WebSocket-Protocol"));
  CHECK_FALSE(client.head().header("Content-Length"));
  CHECK_FALSE(client.head().header("Transfer-Encoding"));
}

TEST_CASE("only the subprotocol that was offered is selected", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  const auto selected = [&](std::string_view headers) {
    return WebSocketClient(port, "/c", headers).head().header("Sec-WebSocket-Protocol");
  };
  CHECK(selected(WebSocketClient::v1) == "downlink.v1");
  CHECK(selected("Sec-WebSocket-Protocol: chat, downlink.v1\r\n") == "downlink.v1");
  CHECK(selected("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: downlink.v1\r\n") == "downlink.v1");
  CHECK_FALSE(selected("Sec-WebSocket-Protocol: chat\r\n"));
}

TEST_CASE("a handshake that is none is refused", "[scenario][WIRE-5]") {
  WebSocketServer s;
  s.server.on_message("/c", [](Peer, Inbound) {});
  const auto port = s.start();
  const auto answer = [&](std::string_view method, std::string_view version, std::string_view key,
                          std::string_view body = {}) {
    std::string headers = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    if (!version.empty()) headers.append("Sec-WebSocket-Version: ").append(version).append("\r\n");
    if (!key.empty()) headers.append("Sec-WebSocket-Key: ").append(key).append("\r\n");
    return request(port, method, "/c", headers, body);
  };
  const std::string_view key = WebSocketClient::key;
  const auto old = answer("GET", "8", key);
  CHECK(old.status == 426);
  CHECK(old.header("Sec-WebSocket-Version") == "13");
  CHECK(old.header("Content-Type") == "application/problem+json");
  CHECK(answer("GET", "", key).status == 426);
  CHECK(answer("GET", "13", "").status == 400);
  CHECK(answer("GET", "13", "dGhlIHNhbXBsZQ==").status == 400);
  CHECK(answer("GET", "13", "!!!!IHNhbXBsZSBub25jZQ==").status == 400);
  CHECK(answer("GET", "13", "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").status == 400);
  CHECK(answer("GET", "13", key, "body").status == 400);
  CHECK(answer("HEAD", "13", key).status == 400);
  CHECK(answer("POST", "13", key, "body").status == 400);
  CHECK(get(port, "/c").status == 426);
  CHECK(get(port, "/c").header("Upgrade") == "websocket");
  CHECK(s.channel.subscriber_count() == 0);
}

TEST_CASE("without a subprotocol a message is one frame that holds the payload and nothing else",
          "[scenario][WIRE-5]") {
  WebSocketServer s;
  WebSocketClient client(s.start(), "/c");
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 1; }));
  for (const std::size_t size : {0, 1, 125, 126, 127, 65535, 65536, 300000}) {
    s.publish({.data = std::string(size, 'x'), .event = "ignored"});
    const auto text = client.next_frame();
    CHECK(text.fin);
    CHECK(text.rsv == 0);
    CHECK(text.opcode == ws_text);
    CHECK(text.payload == std::string(size, 'x'));
    s.publish({.data = std::string(size, '\xFF'), .binary = true});
    const auto binary = client.next_frame();
    CHECK(binary.opcode == ws_binary);
    CHECK(binary.payload == std::string(size, '\xFF'));
  }
}

TEST_CASE("with downlink.v1 a message carries its id and event, and the first one is the opening",
          "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto last = s.publish({.data = "before"});
  WebSocketClient client(s.start(), "/c", WebSocketClient::v1);
  const auto open = client.next_frame();
  CHECK(open.opcode == ws_text);
  CHECK(open.payload == "id: " + last + "\nevent: downlink.open\n\n");
  auto id = s.publish({.data = "a\nb"});
  CHECK(client.next_frame().payload == "id: " + id + "\n\na\nb");
  id = s.publish({.data = "", .event = "price"});
  CHECK(client.next_frame().payload == "id: " + id + "\nevent: price\n\n");
  id = s.publish({.data = "\xFF", .event = "blob", .binary = true});
  const auto blob = client.next_frame();
  CHECK(blob.opcode == ws_binary);
  CHECK(blob.payload == "id: " + id + "\nevent: blob\n\n\xFF");

  client.connection().reset();
  const auto next = s.publish({.data = "next"});
  WebSocketClient again(s.server.port(), "/c?cursor=" + id, WebSocketClient::v1);
  CHECK(again.open().id == id);
  CHECK(again.next_v1().id == next);
}

TEST_CASE("a gap comes as an event behind an opening without an id, and closes with 4001 where there is no subprotocol",
          "[scenario][WIRE-1][WIRE-5]") {
  WebSocketServer s({.history = {.max_messages = 2}});
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(s.publish({.data = std::to_string(i)}));
  const auto port = s.start();

  WebSocketClient client(port, "/c", std::string(WebSocketClient::v1) + cursor_header(ids[0]));
  const auto open = client.next_frame();
  CHECK(open.payload == "event: downlink.open\n\n");
  const auto gap = client.next_v1();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.id == ids[2]);
  CHECK(gap.data == R"({"requested":")" + ids[0] + R"(","earliest":")" + ids[3] + R"("})");
  CHECK(client.next_v1().id == ids[3]);
  CHECK(client.next_v1().id == ids[4]);

  WebSocketClient raw(port, "/c", cursor_header("other-1"));
  CHECK(raw.closes().close_code() == 4001);
  WebSocketClient fine(port, "/c", cursor_header(ids[2]));
  CHECK(fine.next_message().payload == "3");
}

TEST_CASE("a ping is answered by a pong with its payload, between fragments too", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  client.send(ws_ping, "");
  CHECK(client.next_frame().opcode == ws_pong);
  client.send(ws_text, "Hel", {.fin = false});
  client.send(ws_ping, std::string(125, 'p'));
  client.send(ws_pong, "not asked for");
  client.send(ws_continuation, "lo");
  const auto pong = client.next_frame();
  CHECK(pong.opcode == ws_pong);
  CHECK(pong.payload == std::string(125, 'p'));
  CHECK(client.next_message().payload == "Hello");
}

TEST_CASE("a close from the client is answered with its code, and the connection is closed", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  for (const unsigned code : {1000u, 1001u, 1008u, 1014u, 3000u, 4999u}) {
    WebSocketClient client(port, "/c");
    client.send_close(static_cast<std::uint16_t>(code), "bye");
    const auto close = client.next_frame();
    CHECK(close.opcode == ws_close);
    CHECK(close.close_code() == code);
    CHECK(client.connection().closed_by_peer());
  }
  WebSocketClient client(port, "/c");
  client.send(ws_close, "");
  CHECK(client.next_frame().payload.empty());
  CHECK(client.connection().closed_by_peer());
  CHECK(eventually([&] { return s.channel.subscriber_count() == 0; }));
  client.connection().close();
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("a closed channel closes with 1000 after its last message", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  WebSocketClient client(port, "/c", WebSocketClient::v1);
  client.open();
  std::string last;
  for (int i = 0; i < 50; ++i) last = s.publish({.data = "x"});
  s.channel.close();
  for (int i = 0; i < 49; ++i) client.next_v1();
  CHECK(client.next_v1().id == last);
  CHECK(client.closes().close_code() == 1000);
  WebSocketClient late(port, "/c?history=1");
  CHECK(late.next_message().payload == "x");
  CHECK(late.closes().close_code() == 1000);
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("what breaks the protocol is closed with the code that says so", "[scenario][WIRE-5]") {
  EchoServer s({.max_message = 1000});
  const auto port = s.start();
  const auto code = [&](const std::string& bytes) {
    WebSocketClient client(port, "/c");
    client.connection().send(bytes);
    return client.closes().close_code();
  };
  CHECK(code(client_frame(ws_text, "x", {.masked = false})) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.rsv = 4})) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.rsv = 1})) == 1002);
  CHECK(code(client_frame(3, "x")) == 1002);
  CHECK(code(client_frame(11, "x")) == 1002);
  CHECK(code(client_frame(ws_ping, "x", {.fin = false})) == 1002);
  CHECK(code(client_frame(ws_ping, std::string(126, 'x'))) == 1002);
  CHECK(code(client_frame(ws_continuation, "x")) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.fin = false}) + client_frame(ws_text, "y")) == 1002);
  CHECK(code(client_frame(ws_close, "x")) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(1005))) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(999))) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(1000, "\xFF"))) == 1007);
  CHECK(code(client_frame(ws_text, "\xC3\x28")) == 1007);
  CHECK(code(client_frame(ws_text, "a\xE2\x82")) == 1007);
  CHECK(code(client_frame(ws_text, std::string(1001, 'x'))) == 1009);
  CHECK(code(client_frame(ws_binary, std::string(600, 'x'), {.fin = false}) +
             client_frame(ws_continuation, std::string(600, 'x'))) == 1009);
  // The frame's head alone shows it.
  CHECK(code(client_frame(ws_text, std::string(70000, 'x')).substr(0, 14)) == 1009);

  WebSocketClient fine(port, "/c");
  fine.send_text(std::string(1000, 'x'));
  CHECK(fine.next_message().payload.size() == 1000);
}

TEST_CASE("text that can no longer become UTF-8 is failed with the frame that shows it", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  client.send(ws_text, "\xCE\xBA\xE1\xBD", {.fin = false});
  client.send(ws_continuation, "\xB9\xED\xA0\x80", {.fin = false});
  CHECK(client.closes().close_code() == 1007);
}

TEST_CASE("messages arrive whole however they are fragmented and chopped", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  const std::string text = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bytes += client_frame(i == 0 ? ws_text : ws_continuation, text.substr(i, 1), {.fin = false});
    if (i == 4) bytes += client_frame(ws_ping, "in between");
  }
  bytes += client_frame(ws_continuation, "");
  for (const char c : bytes) client.connection().send({&c, 1});
  CHECK(client.next_frame().opcode == ws_pong);
  CHECK(client.next_message().payload == text);

  const std::string large(200000, '\xFE');
  const auto frame = client_frame(ws_binary, large);
  for (std::size_t at = 0, step = 1; at < frame.size(); at += step, step = step * 3 % 9973 + 1) {
    client.connection().send(std::string_view(frame).substr(at, step));
  }
  const auto answer = client.next_message();
  CHECK(answer.opcode == ws_binary);
  CHECK(answer.payload == large);
}

TEST_CASE("frames right behind the handshake's request are taken", "[scenario][WIRE-5]") {
  EchoServer s;
  std::string behind;
  for (int i = 0; i < 20; ++i) behind += client_frame(ws_text, std::to_string(i));
  behind += client_frame(ws_close, close_payload(1000));
  WebSocketClient client(s.start(), "/c", {}, behind);
  for (int i = 0; i < 20; ++i) CHECK(client.next_message().payload == std::to_string(i));
  CHECK(client.next_frame().close_code() == 1000);
}

TEST_CASE("a peer is pinged when nothing came for an interval, and dropped after another one", "[scenario][WIRE-5]") {
  WebSocketServer s({}, {.stream = {.heartbeat = 60ms}});
  const auto port = s.start();
  WebSocketClient lively(port, "/c");
  WebSocketClient silent(port, "/c");
  CHECK(silent.next_frame().opcode == ws_ping);
  for (int i = 0; i < 6; ++i) {
    const auto ping = lively.next_frame();
    CHECK(ping.opcode == ws_ping);
    lively.send(ws_pong, ping.payload);
  }
  CHECK(silent.connection().closed_by_peer());
  CHECK(eventually([&] { return s.channel.subscriber_count() == 1; }));
}

TEST_CASE("a peer that is heard is not pinged", "[scenario][WIRE-5]") {
  // On a machine that stands still for an interval a ping is right: one quiet run of several will do.
  bool quiet = false;
  for (int attempt = 0; attempt < 10 && !quiet; ++attempt) {
    EchoServer s({.stream = {.heartbeat = 160ms}});
    WebSocketClient client(s.start(), "/c");
    quiet = true;
    for (int i = 0; i < 20 && quiet; ++i) {
      client.send_text("x");
      quiet = client.next_frame().opcode == ws_text;
      std::this_thread::sleep_for(20ms);
    }
  }
  CHECK(quiet);
}

TEST_CASE("a handler gets each message of a peer in order, with who sent it", "[scenario][WIRE-6]") {
  Notes notes;
  WebSocketServer s;
  s.server.on_message("/c", [&](Peer from, Inbound in) {
    CHECK(from.identity().transport == TransportKind::websocket);
    CHECK(from.identity().remote_address == "127.0.0.1");
    CHECK_FALSE(in.by_post);
    notes.add((in.binary ? "b" : "t") + in.data);
  });
  WebSocketClient client(s.start(), "/c");
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    client.send(i % 2 == 0 ? ws_text : ws_binary, std::to_string(i));
    expected.push_back((i % 2 == 0 ? "t" : "b") + std::to_string(i));
  }
  CHECK(eventually([&] { return notes.all().size() == expected.size(); }));
  CHECK(notes.all() == expected);
}

TEST_CASE("an awaitable handler gets a peer's next message when it is done with the last", "[scenario][WIRE-6]") {
  std::atomic<int> at_work = 0;
  std::atomic<bool> overlapped = false;
  WebSocketServer s;
  s.server.on_message("/c", [&](Peer, Inbound in) -> net::awaitable<Reply> {
    if (at_work.fetch_add(1) != 0) overlapped = true;
    co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
    at_work.fetch_sub(1);
    co_return Message{.data = in.data};
  });
  WebSocketClient client(s.start(), "/c");
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += client_frame(ws_text, std::to_string(i));
  client.connection().send(bytes + client_frame(ws_close, close_payload(1000)));
  for (int i = 0; i < 300; ++i) CHECK(client.next_message().payload == std::to_string(i));
  CHECK(client.next_frame().close_code() == 1000);
  CHECK_FALSE(overlapped);
}

TEST_CASE("an awaitable handler is not entered twice when the peer takes replies again", "[scenario][WIRE-6]") {
  std::atomic<int> at_work = 0;
  std::atomic<int> done = 0;
  std::atomic<bool> overlapped = false;
  WebSocketServer s;
  s.server.on_message("/c", [&](Peer, Inbound in) -> net::awaitable<Reply> {
    if (at_work.fetch_add(1) != 0) overlapped = true;
    net::steady_timer timer(co_await net::this_coro::executor, 1ms);
    co_await timer.async_wait(net::use_awaitable);
    at_work.fetch_sub(1);
    ++done;
    co_return Message{.data = in.data + std::string(900'000, '.')};
  });
  WebSocketClient client(s.start(), "/c");
  constexpr int count = 40;
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += client_frame(ws_text, std::to_string(i) + ";");
  client.connection().send(bytes);
  REQUIRE(eventually([&] { return done > 0; }));
  for (int i = 0; i < count; ++i) {
    const auto reply = client.next_message().payload;
    REQUIRE(reply.substr(0, reply.find(';')) == std::to_string(i));
  }
  CHECK_FALSE(overlapped);
}

TEST_CASE("a handler that fails ends its one session with 1011", "[scenario][WIRE-6]") {
  WebSocketServer s;
  const int kind = GENERATE(0, 1, 2);
  if (kind == 0) {
    s.server.on_message("/c", [](Peer, Inbound in) {
      if (in.data == "bad") throw std::runtime_error("refused");
    });
  } else if (kind == 1) {
    s.server.on_message("/c", [](Peer, Inbound in) -> net::awaitable<void> {
      co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
      if (in.data == "bad") throw std::runtime_error("refused");
    });
  } else {
    // Throws before there is a coroutine.
    s.server.on_message("/c", [](Peer, Inbound in) {
      if (in.data == "bad") throw std::runtime_error("refused");
      return []() -> net::awaitable<void> { co_return; }();
    });
  }
  WebSocketClient client(s.start(), "/c");
  WebSocketClient other(s.server.port(), "/c");
  client.send_text("good");
  client.send_text("bad");
  CHECK(client.closes().close_code() == 1011);
  other.send(ws_ping, "still there");
  CHECK(other.next_frame().payload == "still there");
}

TEST_CASE("a refused message, and one where no handler takes any, is closed with 1008", "[scenario][WIRE-6]") {
  WebSocketServer s;
  const bool handled = GENERATE(true, false);
  if (handled) s.server.on_message("/c", [](Peer, Inbound) { return Reply::refuse(403, "not you"); });
  WebSocketClient client(s.start(), "/c");
  client.send_text("x");
  const auto close = client.closes();
  CHECK(close.close_code() == 1008);
  if (handled) CHECK(close.close_reason() == "not you");
}

TEST_CASE("a direct reply has no id, and its sender may be any thread", "[scenario][WIRE-6]") {
  std::mutex mutex;
  std::optional<Peer> peer;
  WebSocketServer s;
  s.server.on_subscribe([&](Peer who) {
    const std::lock_guard guard(mutex);
    if (!peer) peer = who;
  });
  WebSocketClient client(s.start(), "/c", WebSocketClient::v1);
  client.open();
  REQUIRE(eventually([&] {
    const std::lock_guard guard(mutex);
    return peer.has_value();
  }));
  CHECK_FALSE(peer->send({.data = "just you", .event = "hint"}));
  CHECK(client.next_frame().payload == "event: hint\n\njust you");
  CHECK_FALSE(peer->send({.data = "plain"}));
  CHECK(client.next_frame().payload == "\nplain");

  std::vector<std::jthread> senders;
  std::atomic<int> refused = 0;
  for (int t = 0; t < 3; ++t) {
    senders.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        if (peer->send({.data = std::to_string(i), .event = std::to_string(t)})) ++refused;
        s.publish({.data = "x"});
      }
    });
  }
  std::vector<int> next(3, 0);
  for (int seen = 0; seen < 600; ++seen) {
    const auto message = client.next_v1();
    if (!message.id) CHECK(message.data == std::to_string(next[static_cast<std::size_t>(std::stoi(message.event))]++));
  }
  for (auto& sender : senders) sender.join();
  CHECK(refused == 0);

  client.connection().reset();
  CHECK(eventually([&] { return peer->send({.data = "x"}) == make_error_code(errc::peer_gone); }));
  CHECK_FALSE(peer->connected());
  peer->close();
}

TEST_CASE("a handler may close its peer", "[scenario][WIRE-6]") {
  WebSocketServer s;
  s.server.on_message("/c", [](Peer from, Inbound) { from.close(); });
  WebSocketClient client(s.start(), "/c");
  client.send_text("x");
  CHECK(client.closes().close_code() == 1008);
}

TEST_CASE("a peer for whom too much waits is closed with 1013", "[scenario][WIRE-6]") {
  std::mutex mutex;
  std::optional<Peer> peer;
  Notes reasons;
  WebSocketServer s;
  s.server.on_subscribe([&](Peer who) {
    const std::lock_guard guard(mutex);
    peer = who;
  });
  s.server.on_unsubscribe([&](Peer, EndReason reason) { reasons.add(std::to_string(static_cast<int>(reason))); });
  WebSocketClient client(s.start(), "/c");
  REQUIRE(eventually([&] {
    const std::lock_guard guard(mutex);
    return peer.has_value();
  }));
  const bool at_once = GENERATE(true, false);
  if (at_once) {
    // More than the bound before the loop comes to look.
    const auto blocker = std::make_shared<std::promise<void>>();
    net::post(s.loop.context(), [blocker] { blocker->get_future().wait(); });
    error_code error;
    for (int i = 0; i < 4 && !error; ++i) error = peer->send({.data = std::string(500'000, 'x')});
    CHECK(error == make_error_code(errc::peer_queue_full));
    blocker->set_value();
  } else {
    CHECK(eventually([&] { return static_cast<bool>(peer->send({.data = std::string(500'000, 'x')})); }));
  }
  CHECK(client.closes().close_code() == 1013);
  CHECK(eventually([&] { return !peer->connected(); }));
  CHECK(reasons.all() == std::vector{std::to_string(static_cast<int>(EndReason::too_slow))});
}

TEST_CASE("who sends much and reads nothing is not read from, and gets every reply once it reads",
          "[scenario][WIRE-6]") {
  std::atomic<std::size_t> taken = 0;
  WebSocketServer s;
  const bool awaiting = GENERATE(false, true);
  if (awaiting) {
    s.server.on_message("/c", [&](Peer, Inbound in) -> net::awaitable<Reply> {
      co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
      ++taken;
      co_return Message{.data = in.data, .binary = in.binary};
    });
  } else {
    s.server.on_message("/c", [&](Peer, Inbound in) {
      ++taken;
      return Reply(Message{.data = in.data, .binary = in.binary});
    });
  }
  WebSocketClient client(slow_connection(s.start()), "/c");
  const std::size_t size = GENERATE(std::size_t{300}, std::size_t{50'000}, std::size_t{1} << 20);
  const std::size_t count = (std::size_t{20} << 20) / std::max<std::size_t>(size, 3000);
  std::atomic<std::size_t> sent = 0;
  std::jthread sender([&, socket = ::dup(client.connection().native_handle())] {
    auto writer = Connection::over(socket);
    writer.set_patience(20s);
    try {
      for (std::size_t i = 0; i < count; ++i) {
        std::string payload = std::to_string(i) + ";";
        payload.resize(size, 'x');
        writer.send(client_frame(ws_binary, payload));
        ++sent;
      }
    } catch (const std::exception&) {
      // The test's own thread sees what is missing.
    }
  });
  // Once neither goes on, everything on the way is full.
  std::size_t last = ~std::size_t{0};
  eventually([&] {
    std::this_thread::sleep_for(30ms);
    return std::exchange(last, taken + sent) == taken + sent;
  });
  if (size >= 50'000) CHECK(taken * size < (std::size_t{10} << 20));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto reply = client.next_message().payload;
    if (reply.size() != size || reply.substr(0, reply.find(';')) != std::to_string(i)) ++wrong;
  }
  sender.join();
  CHECK(wrong == 0);
  CHECK(taken == count);
}

TEST_CASE("pings from a client that reads nothing don't pile up without a bound", "[scenario][WIRE-5]") {
  WebSocketServer s;
  WebSocketClient client(slow_connection(s.start()), "/c");
  const auto ping = client_frame(ws_ping, std::string(125, 'p'));
  std::string many;
  for (int i = 0; i < 500; ++i) many += ping;
  std::size_t sent = 0;
  // The kernel takes some megabytes on both ways; what is left waits at the client.
  while (sent < (std::size_t{64} << 20)) {
    pollfd room{client.connection().native_handle(), POLLOUT, 0};
    if (::poll(&room, 1, 200) == 0) break;
    const auto now = client.connection().try_send(std::string_view(many).substr(sent % many.size()));
    if (now == 0) break;
    sent += now;
  }
  CHECK(sent < (std::size_t{64} << 20));
  const auto whole = sent / ping.size();
  std::size_t pongs = 0;
  while (pongs < whole) {
    const auto frame = client.next_frame();
    REQUIRE(frame.opcode == ws_pong);
    REQUIRE(frame.payload.size() == 125);
    ++pongs;
  }
}

TEST_CASE("POST reaches the same handler as frames do", "[scenario][WIRE-6]") {
  WebSocketServer s;
  s.server.on_message(
      "/c", [](Peer, Inbound in) { return Reply(Message{.data = (in.by_post ? "post:" : "frame:") + in.data}); });
  const auto port = s.start();
  WebSocketClient client(port, "/c");
  client.send_text("x");
  CHECK(client.next_message().payload == "frame:x");
  const auto answer = post(port, "/c", "y", "Content-Type: text/plain\r\n");
  CHECK(answer.status == 202);
  CHECK(answer.body == "post:y");
}
