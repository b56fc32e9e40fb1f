#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

Decision by_token(const RequestHead& head) {
  const auto token = head.header("Authorization");
  if (!token) return unauthorized();
  if (*token != "Bearer good") return deny();
  return allow("ann", {{"role", "admin"}, {"path", std::string(head.path())}});
}

net::awaitable<Decision> by_token_later(const RequestHead& head) {
  net::steady_timer timer(co_await net::this_coro::executor, 5ms);
  co_await timer.async_wait(net::use_awaitable);
  co_return by_token(head);
}

// Whom handlers were called with.
class Seen {
 public:
  void put(const Peer& peer) {
    const std::lock_guard guard(mutex_);
    peers_.push_back(peer);
  }
  std::vector<Peer> peers() const {
    const std::lock_guard guard(mutex_);
    return peers_;
  }
  std::size_t size() const { return peers().size(); }

 private:
  mutable std::mutex mutex_;
  std::vector<Peer> peers_;
};

}  // namespace

TEST_CASE("an authorizer decides at once or later", "[scenario][WIRE-8]") {
  std::atomic<int> executed{0};
  ServedAll served;
  const bool later = GENERATE(false, true);
  if (later) {
    served.server.authorize(by_token_later);
  } else {
    served.server.authorize(by_token);
  }
  served.server.on_message("/c", [&](const Peer&, const Inbound&) { ++executed; });
  served.start();

  for (const auto headers : {std::string_view{}, event_stream, upgrade}) {
    CHECK(served.get("/c", headers).status == 401);
    CHECK(served.get("/c", std::string(headers) + "Authorization: Bearer bad\r\n").status == 403);
  }
  CHECK(served.get().header("WWW-Authenticate") == "Bearer");
  CHECK(served.post("x").status == 401);
  CHECK(served.post("x", "Authorization: Bearer bad\r\n").status == 403);
  CHECK(executed == 0);
  CHECK(served.get("/c", "Authorization: Bearer good\r\n").status == 200);
  CHECK(served.post("x", "Authorization: Bearer good\r\n").status == 202);
  CHECK(executed == 1);
}

TEST_CASE("an authorizer may ask for what the path stands for, however it is encoded",
          "[scenario][WIRE-8][RFC3986-6.2.2.2]") {
  Served<ShortPolling> served;
  served.server.route("/rooms/{name}", served.channel);
  const bool later = GENERATE(false, true);
  const auto by_room = [](const RouteParameters& parameters) {
    return parameters.get("name") == "secret" ? deny() : allow();
  };
  if (later) {
    served.server.authorize(
        [by_room](const RequestHead&, const RouteParameters& parameters) -> net::awaitable<Decision> {
          net::steady_timer timer(co_await net::this_coro::executor, 5ms);
          co_await timer.async_wait(net::use_awaitable);
          co_return by_room(parameters);
        });
  } else {
    served.server.authorize(
        [by_room](const RequestHead&, const RouteParameters& parameters) { return by_room(parameters); });
  }
  served.start();
  CHECK(served.get("/rooms/secret").status == 403);
  CHECK(served.get("/rooms/secre%74").status == 403);
  CHECK(served.get("/rooms/%73ecret?cursor=earliest").status == 403);
  CHECK(served.get("/rooms/lobby").status == 200);
  CHECK(served.get("/c").status == 200);
}

TEST_CASE("a 401 has a challenge, whoever made the decision", "[scenario][WIRE-8][RFC9110-15.5.2]") {
  ServedAll served;
  served.server.authorize([](const RequestHead& head) -> Decision {
    if (head.query() == "own") return unauthorized("Basic realm=\"a\"");
    return {.kind = Decision::Kind::unauthorized};
  });
  served.start();
  CHECK(served.get().status == 401);
  CHECK(served.get().header("WWW-Authenticate") == "Bearer");
  CHECK(served.get("/c?own").header("WWW-Authenticate") == "Basic realm=\"a\"");
}

TEST_CASE("each request of a connection is authorized by itself, in order", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.authorize(by_token_later);
  served.start();
  auto connection = served.connect();
  const std::string good = "Authorization: Bearer good\r\n";
  connection.send(request_text("GET", "/c", good) + request_text("GET", "/c") + request_text("GET", "/c", good));
  CHECK(connection.read_response().status == 200);
  CHECK(connection.read_response().status == 401);
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("only what a route serves is asked for", "[scenario][WIRE-8]") {
  std::atomic<int> asked{0};
  ServedAll served;
  served.server.authorize([&](const RequestHead&) {
    ++asked;
    return deny();
  });
  served.start();
  CHECK(served.get("/nowhere").status == 404);
  CHECK(request(served.port(), "PUT", "/c").status == 405);
  CHECK(asked == 0);
  CHECK(served.get().status == 403);
  CHECK(asked == 1);
}

TEST_CASE("the authorizer is asked before a body is read", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return deny(); });
  served.server.on_message("/c", [](const Peer&, const Inbound&) {});
  served.start();
  auto connection = served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
  CHECK(connection.read_response().status == 403);
  CHECK(connection.closed_by_peer());
}

TEST_CASE("an authorizer that throws is 500, and the server goes on", "[scenario][WIRE-8]") {
  ServedAll served;
  SECTION("at once") {
    served.server.authorize([](const RequestHead& head) {
      if (head.query() == "throw") throw std::runtime_error("no");
      return allow();
    });
  }
  SECTION("later") {
    served.server.authorize([](const RequestHead& head) -> net::awaitable<Decision> {
      co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
      if (head.query() == "throw") throw std::runtime_error("no");
      co_return allow();
    });
  }
  served.start();
  for (const auto headers : {std::string_view{}, event_stream, upgrade}) {
    const auto answer = served.get("/c?throw", headers);
    CHECK(answer.status == 500);
    CHECK(answer.header("Content-Type") == "application/problem+json");
  }
  CHECK(served.get().status == 200);
}

TEST_CASE("subject and attributes reach the peer in on_message", "[scenario][WIRE-6]") {
  Seen seen;
  ServedAll served;
  served.server.authorize(by_token);
  served.server.on_message("/c", [&](const Peer& from, const Inbound&) { seen.put(from); });
  served.start();
  CHECK(served.post("x", "Authorization: Bearer good\r\n").status == 202);
  REQUIRE(seen.size() == 1);
  const Identity& identity = seen.peers()[0].identity();
  CHECK(identity.subject == "ann");
  CHECK(identity.attribute("role") == "admin");
  CHECK(identity.attribute("path") == "/c");
  CHECK_FALSE(identity.attribute("other"));
  CHECK(identity.path == "/c");
}

TEST_CASE("subject and attributes reach the peer in on_subscribe", "[scenario][WIRE-4][WIRE-5]") {
  Seen came;
  Seen left;
  ServedAll served;
  served.server.authorize(by_token_later);
  served.server.on_subscribe([&](const Peer& peer) { came.put(peer); });
  served.server.on_unsubscribe([&](const Peer& peer, EndReason) { left.put(peer); });
  served.start();
  const bool sse = GENERATE(true, false);
  auto connection = served.connect();
  connection.send(
      request_text("GET", "/c", std::string(sse ? event_stream : upgrade) + "Authorization: Bearer good\r\n"));
  CHECK(connection.read_head().status == (sse ? 200 : 101));
  REQUIRE(eventually([&] { return came.size() == 1; }));
  const auto peer = came.peers()[0];
  CHECK(peer.identity().subject == "ann");
  CHECK(peer.identity().attribute("role") == "admin");
  CHECK(peer.identity().remote_address == "127.0.0.1");
  CHECK(peer.identity().transport == (sse ? TransportKind::sse : TransportKind::websocket));
  CHECK(peer.connected());
  connection.close();
  REQUIRE(eventually([&] { return left.size() == 1; }));
  CHECK(left.peers()[0] == peer);
  CHECK_FALSE(peer.connected());
  CHECK(peer.send({.data = "x"}) == errc::peer_gone);
}

TEST_CASE("a route's parameters reach the peer decoded", "[scenario][WIRE-6]") {
  Seen seen;
  Hub hub;
  Loop loop;
  Server<Sse, ShortPolling> server{loop.context()};
  server.route("/channels/{name}", hub);
  server.on_message("/channels/{name}", [&](const Peer& from, const Inbound&) { seen.put(from); });
  server.start();
  CHECK(post(server.port(), "/channels/a%7Eb", "x").status == 202);
  REQUIRE(seen.size() == 1);
  CHECK(seen.peers()[0].identity().parameter("name") == "a~b");
  CHECK(seen.peers()[0].identity().path == "/channels/a%7Eb");
}

TEST_CASE("a stream ends when its authorization expires", "[scenario][WIRE-8]") {
  std::mutex mutex;
  std::optional<EndReason> reason;
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return allow("ann", {}, 100ms); });
  served.server.on_unsubscribe([&](const Peer&, EndReason why) {
    const std::lock_guard guard(mutex);
    reason = why;
  });
  served.start();
  auto connection = served.connect();
  SECTION("SSE by its last chunk") {
    connection.send(request_text("GET", "/c", event_stream));
    const auto stream = connection.read_response();
    CHECK(stream.status == 200);
    CHECK(stream.body.find("downlink.open") != std::string::npos);
  }
  SECTION("WebSocket with 4002") {
    connection.send(request_text("GET", "/c", upgrade));
    CHECK(connection.read_head().status == 101);
    const auto frame = connection.read_exactly(4);
    CHECK(frame.substr(0, 1) == "\x88");
    CHECK(frame.substr(2) == "\x0F\xA2");
  }
  CHECK(connection.closed_by_peer());
  CHECK(eventually([&] {
    const std::lock_guard guard(mutex);
    return reason == EndReason::authorization_expired;
  }));
  connection.close();
  CHECK(served.connections(0));
}

TEST_CASE("an authorization that expires does not cut a held poll off", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return allow("ann", {}, 20ms); });
  served.start();
  CHECK(served.get("/c?wait=0.2").status == 200);
}

TEST_CASE("a client that goes away while the authorizer works costs nothing further", "[scenario][WIRE-8]") {
  std::atomic<int> working{0};
  std::atomic<int> done{0};
  std::atomic<int> came{0};
  ServedAll served;
  served.server.authorize([&](const RequestHead& head) -> net::awaitable<Decision> {
    net::steady_timer timer(co_await net::this_coro::executor, 50ms);
    ++working;
    co_await timer.async_wait(net::use_awaitable);
    ++done;
    co_return allow(std::string(head.path()));
  });
  served.server.on_subscribe([&](const Peer&) { ++came; });
  served.start();
  auto connection = served.connect();
  connection.send(request_text("GET", "/c", event_stream));
  REQUIRE(eventually([&] { return working == 1; }));
  connection.reset();
  CHECK(eventually([&] { return done == 1; }));
  CHECK(served.connections(0));
  CHECK(served.subscribers(0));
}

TEST_CASE("a server that is destroyed while its authorizer works lets go", "[scenario][DESIGN-3.9]") {
  std::atomic<int> working{0};
  Loop loop;
  Channel channel;
  std::optional<Server<ShortPolling>> server{std::in_place, loop.context()};
  server->route("/c", channel);
  server->authorize([&](const RequestHead& head) -> net::awaitable<Decision> {
    net::steady_timer timer(co_await net::this_coro::executor, 50ms);
    ++working;
    co_await timer.async_wait(net::use_awaitable);
    co_return allow(std::string(head.target()));
  });
  server->start();
  Connection connection(server->port());
  connection.send(request_text("GET", "/c"));
  REQUIRE(eventually([&] { return working == 1; }));
  server.reset();
  CHECK(connection.closed_by_peer());
  CHECK(loop.finish());
}
