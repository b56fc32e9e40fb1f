#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// What handlers were called with.
struct Inbox {
  void put(Inbound message) {
    const std::lock_guard guard(mutex);
    messages.push_back(std::move(message));
  }
  std::size_t size() const {
    const std::lock_guard guard(mutex);
    return messages.size();
  }
  Inbound at(std::size_t index) const {
    const std::lock_guard guard(mutex);
    return messages.at(index);
  }

  mutable std::mutex mutex;
  std::vector<Inbound> messages;
};

struct PostServed {
  explicit PostServed(EndpointOptions options = {}) : served(std::move(options)) {
    served.server.on_message("/c", [this](const Peer&, Inbound message) { inbox.put(std::move(message)); });
    served.start();
  }

  Inbox inbox;
  ServedAll served;
};

constexpr std::string_view octets = "Content-Type: application/octet-stream\r\n";

std::string masked(std::string payload, unsigned char opcode) {
  std::string frame{static_cast<char>(0x80 | opcode), static_cast<char>(0x80 | payload.size()), '\1', '\2', '\3', '\4'};
  for (std::size_t i = 0; i < payload.size(); ++i)
    payload[i] = static_cast<char>(payload[i] ^ static_cast<char>(i % 4 + 1));
  return frame + payload;
}

}  // namespace

TEST_CASE("a POST is taken with 202 and reaches the handler", "[scenario][WIRE-6]") {
  PostServed test;
  const auto answer = test.served.post("hello \xC3\xA4", "Content-Type: text/plain\r\n");
  CHECK(answer.status == 202);
  CHECK(answer.header("Content-Length") == "0");
  CHECK(answer.header("Date"));
  REQUIRE(test.inbox.size() == 1);
  CHECK(test.inbox.at(0).data == "hello \xC3\xA4");
  CHECK_FALSE(test.inbox.at(0).binary);
  CHECK(test.inbox.at(0).by_post);
}

TEST_CASE("the handler sees the query, and an empty body", "[scenario][WIRE-6]") {
  PostServed test;
  CHECK(post(test.served.port(), "/c?event=a%20b", "").status == 202);
  REQUIRE(test.inbox.size() == 1);
  CHECK(test.inbox.at(0).query == "event=a%20b");
  CHECK(test.inbox.at(0).data.empty());
}

TEST_CASE("a POST without a length has no body", "[scenario][WIRE-6]") {
  PostServed test;
  auto connection = test.served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\n\r\n" + request_text("GET", "/c"));
  CHECK(connection.read_response().status == 202);
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("an octet stream is binary, whatever its bytes", "[scenario][WIRE-6]") {
  PostServed test;
  const std::string bytes("\x00\xFF\xC3", 3);
  CHECK(test.served.post(bytes, octets).status == 202);
  CHECK(test.served.post(bytes, "content-type: Application/Octet-Stream; x=y\r\n").status == 202);
  REQUIRE(test.inbox.size() == 2);
  CHECK(test.inbox.at(0).data == bytes);
  CHECK(test.inbox.at(0).binary);
  CHECK(test.inbox.at(1).binary);
}

TEST_CASE("text that is not UTF-8 is 400 and reaches nobody", "[scenario][WIRE-6]") {
  PostServed test;
  for (const auto* text : {"\xFF", "\xC3", "\xED\xA0\x80", "\xC0\xAF"}) {
    const auto answer = test.served.post(text);
    CHECK(answer.status == 400);
    CHECK(answer.header("Content-Type") == "application/problem+json");
  }
  CHECK(test.inbox.size() == 0);
}

TEST_CASE("without a handler a POST is 405 with Allow", "[scenario][WIRE-6]") {
  ServedAll served;
  served.start();
  auto connection = served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\n\r\n" + request_text("GET", "/c"));
  const auto answer = connection.read_response();
  CHECK(answer.status == 405);
  CHECK(answer.lists("Allow", "GET"));
  CHECK(answer.lists("Allow", "HEAD"));
  CHECK_FALSE(answer.lists("Allow", "POST"));
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("a 405 to a POST with a body arrives, and the body is taken for no request", "[scenario][WIRE-6]") {
  ServedAll served;
  served.start();
  auto connection = served.connect();
  connection.send(request_text("POST", "/c", {}, request_text("GET", "/c")));
  CHECK(connection.read_response().status == 405);
  CHECK(connection.read_to_end().empty());
}

TEST_CASE("a body over the limit is 413, and one at the limit is taken", "[scenario][WIRE-6][WIRE-8]") {
  PostServed test({.max_message = 1000});
  CHECK(test.served.post(std::string(1000, 'x')).status == 202);
  auto connection = test.served.connect();
  SECTION("by its length, before it is sent") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
  }
  SECTION("by its length, with Expect") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
  }
  SECTION("by a length beyond any memory") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n");
  }
  SECTION("by its chunks") {
    std::string text = "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 11; ++i) text += "64\r\n" + std::string(100, 'x') + "\r\n";
    connection.send(text);
  }
  const auto answer = connection.read_response();
  CHECK(answer.status == 413);
  CHECK(answer.lists("Connection", "close"));
  CHECK(connection.read_to_end().empty());
  CHECK(test.inbox.size() == 1);
}

TEST_CASE("a chunked body is put together", "[scenario][WIRE-6][RFC9112-7.1]") {
  PostServed test;
  auto connection = test.served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n");
  connection.send("1\r\n \r\n00005\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n" + request_text("GET", "/c"));
  CHECK(connection.read_response().status == 202);
  CHECK(connection.read_response().status == 200);
  REQUIRE(test.inbox.size() == 1);
  CHECK(test.inbox.at(0).data == "hello world");
}

TEST_CASE("Expect: 100-continue is answered before the body", "[scenario][WIRE-6][RFC9110-10.1.1]") {
  PostServed test;
  auto connection = test.served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  CHECK(connection.read_response().status == 100);
  connection.send("hello");
  CHECK(connection.read_response().status == 202);
  REQUIRE(test.inbox.size() == 1);
  CHECK(test.inbox.at(0).data == "hello");

  SECTION("not where the body has come already") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    CHECK(connection.read_response().status == 202);
  }
  SECTION("not over HTTP/1.0") {
    connection.send("POST /c HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    connection.send("hello");
    CHECK(connection.read_response().status == 202);
  }
  SECTION("not where the request is refused") {
    connection.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CHECK(connection.read_response().status == 404);
  }
}

TEST_CASE("a body that comes byte by byte is taken", "[scenario][WIRE-6]") {
  PostServed test;
  auto connection = test.served.connect();
  for (const char c : request_text("POST", "/c", {}, "slow") + request_text("POST", "/c", {}, "er")) {
    connection.send({&c, 1});
  }
  CHECK(connection.read_response().status == 202);
  CHECK(connection.read_response().status == 202);
  REQUIRE(test.inbox.size() == 2);
  CHECK(test.inbox.at(1).data == "er");
}

TEST_CASE("the handler's reply is the response's body", "[scenario][WIRE-6]") {
  ServedAll served;
  served.server.on_message("/c", [](const Peer&, const Inbound& message) {
    Reply reply(Message{.data = "echo " + message.data, .binary = message.binary});
    if (message.query == "json") reply.content_type = "application/json";
    return reply;
  });
  served.start();
  auto answer = served.post("a");
  CHECK(answer.status == 202);
  CHECK(answer.body == "echo a");
  CHECK(answer.header("Content-Type") == "text/plain; charset=utf-8");
  CHECK(post(served.port(), "/c?json", "a").header("Content-Type") == "application/json");
  answer = served.post("\xFF", octets);
  CHECK(answer.header("Content-Type") == "application/octet-stream");
  CHECK(answer.body == "echo \xFF");
}

TEST_CASE("the handler may refuse", "[scenario][WIRE-6][WIRE-8]") {
  ServedAll served;
  served.server.on_message("/c", [](const Peer&, const Inbound&) { return Reply::refuse(422, "not \"this\""); });
  served.start();
  auto connection = served.connect();
  connection.send(request_text("POST", "/c", {}, "a") + request_text("GET", "/c"));
  const auto answer = connection.read_response();
  CHECK(answer.status == 422);
  CHECK(answer.header("Content-Type") == "application/problem+json");
  const auto problem = nlohmann::json::parse(answer.body);
  CHECK(problem.at("status") == 422);
  CHECK(problem.at("title") == "Unprocessable Content");
  CHECK(problem.at("detail") == "not \"this\"");
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("a handler that throws is 500, and the server goes on", "[scenario][WIRE-6]") {
  ServedAll served;
  SECTION("at once") {
    served.server.on_message("/c", [](const Peer&, const Inbound&) { throw std::runtime_error("no"); });
  }
  SECTION("what is no exception") {
    served.server.on_message("/c", [](const Peer&, const Inbound&) { throw 1; });
  }
  SECTION("in an awaitable") {
    served.server.on_message("/c", [](Peer, Inbound) -> net::awaitable<void> {
      co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
      throw std::runtime_error("no");
    });
  }
  served.start();
  for (int i = 0; i < 2; ++i) {
    const auto answer = served.post("a");
    CHECK(answer.status == 500);
    CHECK(answer.body.find("\"no\"") == std::string::npos);
  }
  CHECK(served.get().status == 200);
}

TEST_CASE("a handler that throws before it gives its awaitable is an error like any other", "[scenario][DESIGN-3.8]") {
  net::io_context io;
  Channel channel;
  Server<ShortPolling> server{io};
  server.route("/c", channel);
  server.on_message("/c", [](Peer, const Inbound&) -> net::awaitable<void> {
    throw std::runtime_error("before");  // no coroutine: this is thrown by the call itself
  });
  server.start();
  Connection connection(server.port());
  connection.send(request_text("POST", "/c", {}, "a"));
  CHECK_NOTHROW([&] {
    while (connection.unread().empty() && connection.wait_for_end(0ms) == Connection::End::open) io.run_one_for(2s);
  }());
  if (!connection.unread().empty()) CHECK(connection.read_response().status == 500);
}

TEST_CASE("an awaitable handler replies when it is done, and requests wait in their turn", "[scenario][WIRE-6]") {
  std::atomic<int> calls{0};
  std::atomic<int> at_once{0};
  ServedAll served;
  served.server.on_message("/c", [&](Peer, Inbound message) -> net::awaitable<Reply> {
    if (++at_once > 1) calls += 1000;
    net::steady_timer timer(co_await net::this_coro::executor, 10ms);
    co_await timer.async_wait(net::use_awaitable);
    --at_once;
    ++calls;
    co_return Reply(Message{.data = "echo " + message.data});
  });
  served.start();
  auto connection = served.connect();
  connection.send(request_text("POST", "/c", {}, "a") + request_text("POST", "/c", {}, "b") +
                  request_text("GET", "/c"));
  CHECK(connection.read_response().body == "echo a");
  CHECK(connection.read_response().body == "echo b");
  CHECK(connection.read_response().status == 200);
  CHECK(calls == 2);
}

TEST_CASE("a client that goes away while its handler works costs nothing further", "[scenario][WIRE-6]") {
  std::atomic<int> done{0};
  std::atomic<bool> working{false};
  ServedAll served;
  served.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<void> {
    net::steady_timer timer(co_await net::this_coro::executor, 50ms);
    working = true;
    co_await timer.async_wait(net::use_awaitable);
    ++done;
  });
  served.start();
  auto connection = served.connect();
  connection.send(request_text("POST", "/c", {}, "a"));
  REQUIRE(eventually([&] { return working.load(); }));
  connection.reset();
  CHECK(eventually([&] { return done == 1; }));
  CHECK(served.connections(0));
}

TEST_CASE("the sender of a POST is a peer without a place for replies, and gone afterwards", "[scenario][WIRE-6]") {
  std::mutex mutex;
  std::vector<Peer> peers;
  std::vector<error_code> sent;
  ServedAll served;
  served.server.on_message("/c", [&](const Peer& from, const Inbound&) {
    const std::lock_guard guard(mutex);
    sent.push_back(from.send({.data = "x"}));
    peers.push_back(from);
  });
  served.start();
  CHECK(served.post("a").status == 202);
  const std::lock_guard guard(mutex);
  REQUIRE(peers.size() == 1);
  CHECK(sent[0] == errc::no_reply_path);
  CHECK(peers[0].identity().path == "/c");
  CHECK(peers[0].identity().remote_address == "127.0.0.1");
  CHECK(peers[0].identity().transport == TransportKind::short_polling);
  CHECK(eventually([&] { return !peers[0].connected(); }));
  CHECK(peers[0].send({.data = "x"}) == errc::peer_gone);
}

TEST_CASE("WebSocket frames reach the same handler as a POST", "[scenario][WIRE-6]") {
  Inbox inbox;
  ServedAll served;
  served.server.on_message("/c", [&](const Peer&, Inbound message) {
    const auto text = "echo " + message.data;
    inbox.put(std::move(message));
    return Reply(Message{.data = text});
  });
  served.start();
  CHECK(served.post("one").body == "echo one");
  auto connection = served.connect();
  connection.send(request_text("GET", "/c",
                               "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  REQUIRE(connection.read_head().status == 101);
  connection.send(masked("two", 1) + masked("\xFF", 2));
  CHECK(connection.read_exactly(10) ==
        "\x81\x08"
        "echo two");
  REQUIRE(eventually([&] { return inbox.size() == 3; }));
  CHECK(inbox.at(0).by_post);
  CHECK_FALSE(inbox.at(1).by_post);
  CHECK_FALSE(inbox.at(1).binary);
  CHECK(inbox.at(1).data == "two");
  CHECK(inbox.at(2).binary);
}

TEST_CASE("a handler may publish to the channel that it stands at", "[scenario][WIRE-6]") {
  ServedAll served;
  served.server.on_message("/c", [&](const Peer&, const Inbound& message) { served.publish(message.data); });
  served.start();
  auto poll = served.connect();
  poll.send(request_text("GET", "/c?wait=60"));
  REQUIRE(served.subscribers(1));
  CHECK(served.post("a").status == 202);
  CHECK(PollAnswer(poll.read_response()).data == std::vector<std::string>{"a"});
}

TEST_CASE("a single-transport endpoint takes POSTs too", "[scenario][WIRE-6]") {
  Inbox inbox;
  const auto check = [&](auto&& served) {
    served.server.on_message("/c", [&](const Peer&, Inbound message) { inbox.put(std::move(message)); });
    served.start();
    CHECK(served.post("a").status == 202);
  };
  check(Served<Sse>());
  check(Served<WebSocket>());
  check(Served<LongPolling>());
  check(Served<ShortPolling>());
  CHECK(inbox.size() == 4);
}
