#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "scenario/websocket_server.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

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

TEST_CASE("a reply that is no message of the wire's is the handler's failure, and nothing of it is sent",
          "[scenario][WIRE-4][WIRE-6]") {
  const bool later = GENERATE(false, true);
  Message reply;
  SECTION("an event of several lines") { reply = {.data = "x", .event = "a\nid: 1-1\n\nforged"}; }
  SECTION("an event of the library's own") { reply = {.data = "{}", .event = "downlink.gap"}; }
  SECTION("an event that says base64") { reply = {.data = "x", .event = "a;base64"}; }
  SECTION("text that is not UTF-8") { reply = {.data = "\xFF"}; }
  WebSocketServer s;
  if (later) {
    s.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<Reply> {
      co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
      co_return reply;
    });
  } else {
    s.server.on_message("/c", [&](Peer, Inbound) { return Reply(reply); });
  }
  WebSocketClient client(s.start(), "/c", WebSocketClient::v1);
  client.open();
  client.send_text("x");
  const auto frame = client.next_frame();
  CHECK(frame.opcode == ws_close);
  CHECK(frame.close_code() == 1011);
  CHECK(s.server.stats().handler_failures == 1);
  CHECK(eventually([&] { return s.server.stats().ended[EndReason::internal_error] == 1; }));
}

TEST_CASE("a reply of the default event carries no name, and a binary one may be any bytes",
          "[scenario][WIRE-4][WIRE-6]") {
  WebSocketServer s;
  s.server.on_message("/c", [](Peer, Inbound in) {
    return Reply(Message{.data = in.data + "\xFF", .event = "message", .binary = true});
  });
  WebSocketClient client(s.start(), "/c", WebSocketClient::v1);
  client.open();
  client.send_text("x");
  CHECK(client.next_frame().payload == "\nx\xFF");
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

TEST_CASE("closing a peer whose stream has ended already takes nothing of what was sent from it",
          "[scenario][WIRE-6]") {
  const std::string answer(100'000, 'x');
  WebSocketServer s;
  s.server.on_message("/c", [&](Peer from, Inbound in) {
    if (in.data == "ask") return Reply(Message{.data = answer});
    from.close();  // in a task, which runs when the refusal has ended the stream
    return Reply::refuse(400, "no");
  });
  WebSocketClient client(slow_connection(s.start(), 8 << 10), "/c");
  client.send_text("ask");
  client.send_text("too much");
  REQUIRE(eventually([&] { return s.server.stats().ended[EndReason::refused] == 1; }));
  for (int i = 0; i < 4; ++i) s.loop.run_on([] {});  // by then the task has run
  CHECK((client.next_message().payload == answer));
  const auto close = client.closes();
  CHECK(close.close_code() == 1008);
  CHECK(close.close_reason() == "no");
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
  // Once there is no room and neither goes on, everything on the way is full.
  CHECK(eventually(
      [&] {
        const std::size_t before = taken + sent;
        pollfd room{client.connection().native_handle(), POLLOUT, 0};
        return sent == count || (::poll(&room, 1, 200) == 0 && taken + sent == before);
      },
      20s));
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
