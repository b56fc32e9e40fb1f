#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("destroying a server closes its sessions, leaves its channels, and calls nobody back",
          "[scenario][DESIGN-3.9]") {
  const std::size_t shards = GENERATE(1, 2);
  const bool one_thread = GENERATE(true, false);
  const bool on_loop = GENERATE(true, false);
  Channel channel;
  std::atomic<int> left = 0;
  Loop loop(shards);
  auto server = std::make_unique<EveryServer>(loop.contexts(), ServerOptions{.endpoint = {.one_thread = one_thread}});
  server->route("/c", channel);
  server->on_subscribe([](Peer) {});
  server->on_unsubscribe([&](Peer, EndReason) { ++left; });
  server->start();
  const auto port = server->port();
  Crowd crowd(port);
  REQUIRE(eventually([&] { return channel.subscriber_count() == 3; }));
  if (on_loop) {
    loop.run_on([&] { server.reset(); });
  } else {
    server.reset();
  }
  CHECK(crowd.all_closed());
  CHECK(eventually([&] { return channel.subscriber_count() == 0; }));
  CHECK(refuses(port));
  if (on_loop && shards == 1) CHECK(left == 0);
  CHECK(Publisher(channel).publish({.data = "still there"}));
  // Nothing is left that keeps the loop running.
  CHECK(loop.finish());
}

TEST_CASE("the loop may go before channels, publishers and servers", "[scenario][DESIGN-3.9]") {
  const bool one_thread = GENERATE(true, false);
  Channel channel;
  const Publisher publisher(channel);
  auto loop = std::make_unique<Loop>(2);
  EveryServer server(loop->contexts(), {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  std::vector<Peer> peers;
  std::mutex mutex;
  server.on_subscribe([&](Peer peer) {
    const std::lock_guard guard(mutex);
    peers.push_back(peer);
  });
  server.start();
  Crowd crowd(server.port());
  REQUIRE(eventually([&] {
    const std::lock_guard guard(mutex);
    return peers.size() == 2 && channel.subscriber_count() == 3;
  }));
  REQUIRE(publisher.publish({.data = std::string(std::size_t{4} << 20, 'x')}));
  loop.reset();
  CHECK(crowd.all_closed());
  CHECK(channel.subscriber_count() == 0);
  CHECK(publisher.publish({.data = "x"}));
  for (const auto& peer : peers) CHECK(peer.send({.data = "x"}) == make_error_code(errc::peer_gone));
  channel.close();
}

TEST_CASE("a server whose loop never ran goes without a trace", "[scenario][DESIGN-3.9]") {
  Channel channel;
  net::io_context io;
  {
    EveryServer server(io);
    server.route("/c", channel);
    server.start();
    Connection waiting(server.port());
  }
  CHECK(channel.subscriber_count() == 0);
}

TEST_CASE("a server may be destroyed in any of its callbacks", "[scenario][DESIGN-3.9]") {
  const bool one_thread = GENERATE(true, false);
  enum class Where { message, awaiting, post, subscribe, unsubscribe, authorizer, fallback };
  const auto where = GENERATE(Where::message, Where::awaiting, Where::post, Where::subscribe, Where::unsubscribe,
                              Where::authorizer, Where::fallback);
  Channel channel;
  std::unique_ptr<EveryServer> server;
  Event destroyed;
  Loop loop;
  const auto destroy = [&] {
    server.reset();
    destroyed.set();
  };
  server = std::make_unique<EveryServer>(loop.context(), ServerOptions{.endpoint = {.one_thread = one_thread}});
  server->route("/c", channel);
  switch (where) {
    case Where::message:
    case Where::post:
      server->on_message("/c", [&](Peer, Inbound) { destroy(); });
      break;
    case Where::awaiting:
      server->on_message("/c", [&](Peer, Inbound) -> net::awaitable<void> {
        co_await net::post(co_await net::this_coro::executor, net::use_awaitable);
        destroy();
      });
      break;
    case Where::subscribe:
      server->on_subscribe([&](Peer peer) {
        if (peer.identity().path == "/c") destroy();
      });
      break;
    case Where::unsubscribe:
      server->on_unsubscribe([&](Peer, EndReason) { destroy(); });
      break;
    case Where::authorizer:
      server->authorize([&](const RequestHead& head) {
        if (head.header("X-Destroy")) destroy();
        return allow();
      });
      break;
    case Where::fallback:
      server->fallback([&](HttpRequest) {
        destroy();
        return HttpResponse{};
      });
      break;
  }
  server->start();
  const auto port = server->port();
  std::optional<Connection> watching;
  if (where != Where::subscribe) {
    watching.emplace(port);
    watching->send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
    REQUIRE(eventually([&] { return channel.subscriber_count() == 1; }));
  }
  Connection client(port);
  if (where == Where::post) {
    client.send(request_text("POST", "/c", {}, "x"));
  } else if (where == Where::authorizer) {
    client.send(request_text("GET", "/c", "X-Destroy: 1\r\n"));
  } else if (where == Where::fallback) {
    client.send(request_text("GET", "/elsewhere"));
  } else {
    client.send(WebSocketClient::request("/c") + client_frame(ws_text, "one") + client_frame(ws_text, "two"));
    if (where == Where::unsubscribe) client.half_close();
  }
  CHECK(destroyed.wait());
  CHECK(client.closed_by_peer());
  if (watching) CHECK(watching->closed_by_peer());
  CHECK(eventually([&] { return channel.subscriber_count() == 0; }));
  CHECK(loop.finish());
}

TEST_CASE("a server may be destroyed in a callback that a round of sends makes", "[scenario][DESIGN-3.9]") {
  Channel channel({.max_lag = 1024});
  const Publisher publisher(channel);
  std::unique_ptr<EveryServer> server;
  Event destroyed;
  Loop loop;
  server = std::make_unique<EveryServer>(loop.context(), ServerOptions{.endpoint = {.one_thread = true}});
  server->route("/c", channel);
  server->on_unsubscribe([&](Peer, EndReason) {
    server.reset();
    destroyed.set();
  });
  server->start();
  const auto port = server->port();
  std::vector<SseClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(port, "/c");
    clients.back().open();
  }
  channel.close();  // ends each stream in one round
  CHECK(destroyed.wait());
  for (auto& client : clients) CHECK(client.connection().closed_by_peer());
  CHECK(channel.subscriber_count() == 0);
  CHECK(loop.finish());
}

TEST_CASE("a server may be destroyed when the log tells of a refusal, or of a drain", "[scenario][DESIGN-3.9]") {
  Channel channel({.max_subscribers = 1});
  std::unique_ptr<EveryServer> server;
  Event destroyed;
  Event drained;
  Loop loop;
  server = std::make_unique<EveryServer>(loop.context());
  server->route("/c", channel);
  const auto event = GENERATE(LogEvent::request_refused, LogEvent::drain_began);
  server->on_log([&](const LogEntry& entry) {
    if (entry.event != event || destroyed.happened()) return;
    server.reset();
    destroyed.set();
  });
  server->start();
  SseClient watching(server->port(), "/c");
  watching.open();
  Connection client(server->port());
  if (event == LogEvent::drain_began) {
    loop.run_on([&] { server->async_drain(1h, [&] { drained.set(); }); });
    CHECK(drained.wait());
  } else {
    client.send(request_text("GET", GENERATE("/elsewhere", "/c?wait=60", "/c"), "Accept: text/event-stream\r\n"));
  }
  CHECK(destroyed.wait());
  CHECK(client.closed_by_peer());
  CHECK(watching.connection().closed_by_peer());
  CHECK(loop.finish());
}

TEST_CASE("a server may be destroyed when the log tells that a handler has failed", "[scenario][DESIGN-3.9]") {
  Channel channel;
  std::unique_ptr<EveryServer> server;
  Event destroyed;
  Loop loop;
  server = std::make_unique<EveryServer>(loop.context());
  server->route("/c", channel);
  const std::string failing = GENERATE("authorizer", "post", "message", "on_subscribe", "fallback");
  const auto fail = [&](std::string_view handler) {
    if (failing == handler) throw std::runtime_error("thrown");
  };
  server->authorize([&](const RequestHead&) {
    fail("authorizer");
    return allow();
  });
  server->on_message("/c", [&](Peer, Inbound) { fail(failing == "post" ? "post" : "message"); });
  server->on_subscribe([&](Peer) { fail("on_subscribe"); });
  server->fallback([&](HttpRequest) {
    fail("fallback");
    return HttpResponse{};
  });
  server->on_log([&](const LogEntry& entry) {
    if (entry.event != LogEvent::handler_failed || destroyed.happened()) return;
    server.reset();
    destroyed.set();
  });
  server->start();
  Connection client(server->port());
  if (failing == "post") {
    client.send(request_text("POST", "/c", {}, "a message"));
  } else if (failing == "fallback") {
    client.send(request_text("GET", "/elsewhere"));
  } else {
    client.send(WebSocketClient::request("/c") + client_frame(ws_text, "a message"));
  }
  CHECK(destroyed.wait());
  CHECK(client.closed_by_peer());
  CHECK(channel.subscriber_count() == 0);
  CHECK(loop.finish());
}

TEST_CASE("a drain may begin when the log tells of a refusal", "[scenario][WIRE-9]") {
  Channel channel({.max_subscribers = 1});
  Event drained;
  Loop loop;
  EveryServer server(loop.context());
  server.route("/c", channel);
  std::atomic<bool> begun = false;
  server.on_log([&](const LogEntry& entry) {
    if (entry.event == LogEvent::request_refused && !begun.exchange(true)) {
      server.async_drain(100ms, [&] { drained.set(); });
    }
  });
  server.start();
  SseClient watching(server.port(), "/c");
  watching.open();
  Connection client(server.port());
  client.send(request_text("GET", "/c?wait=60"));
  CHECK(client.read_response().status == 503);
  CHECK(drained.wait());
}

TEST_CASE("what runs the loop in a callback does no harm", "[scenario][DESIGN-3.9]") {
  const bool one_thread = GENERATE(true, false);
  net::io_context io(1);
  Channel channel;
  EveryServer server(io, {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  server.on_unsubscribe([&](Peer, EndReason) { io.poll(); });
  server.start();
  std::vector<Connection> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(server.port());
    clients.back().send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  }
  const auto runs_until = [&](auto condition) {
    return eventually([&] {
      io.restart();
      io.poll();
      return condition();
    });
  };
  REQUIRE(runs_until([&] { return channel.subscriber_count() == 3; }));
  channel.close();
  CHECK(runs_until([&] { return channel.subscriber_count() == 0; }));
}

TEST_CASE("after close a channel publishes no more, and late clients learn of it", "[scenario][DESIGN-4]") {
  Channel channel;
  const Publisher publisher(channel);
  REQUIRE(publisher.publish({.data = "last"}));
  channel.close();
  CHECK(publisher.publish({.data = "late"}).error() == make_error_code(errc::channel_closed));
  CHECK(channel.closed());
  Loop loop;
  EveryServer server(loop.context());
  server.route("/c", channel);
  server.start();
  CHECK(SseClient(server.port(), "/c").ends());
  WebSocketClient ws(server.port(), "/c?cursor=earliest");
  CHECK(ws.next_message().payload == "last");
  CHECK(ws.closes().close_code() == 1000);
  CHECK(get(server.port(), "/c?cursor=earliest").body.find("last") != std::string::npos);
  CHECK(get(server.port(), "/c?wait=0.05").status == 200);
}

TEST_CASE("servers in one process share channels and nothing else", "[scenario][DESIGN-3.1]") {
  Channel shared;
  Channel own;
  Loop loop(2);
  Server<Sse> first(loop.context(0));
  first.route("/c", shared);
  auto second = std::make_unique<EveryServer>(loop.context(0));
  second->route("/c", shared);
  Server<WebSocket> third(loop.context(1), {.endpoint = {.one_thread = true}});
  third.route("/c", shared);
  third.route("/own", own);
  first.start();
  second->start();
  third.start();
  SseClient a(first.port(), "/c");
  SseClient b(second->port(), "/c");
  WebSocketClient c(third.port(), "/c", WebSocketClient::v1);
  WebSocketClient d(third.port(), "/own", WebSocketClient::v1);
  a.open();
  b.open();
  c.open();
  d.open();
  const auto id = Publisher(shared).publish({.data = "x"}).value().to_string();
  CHECK(a.next_event().id == id);
  CHECK(b.next_event().id == id);
  CHECK(c.next_v1().id == id);
  second.reset();
  CHECK(b.connection().closed_by_peer());
  const auto next = Publisher(shared).publish({.data = "y"}).value().to_string();
  CHECK(a.next_event().id == next);
  CHECK(c.next_v1().id == next);
  const auto alone = Publisher(own).publish({.data = "z"}).value().to_string();
  CHECK(d.next_v1().id == alone);
}

TEST_CASE("after a stop everything rests, and goes on after a restart", "[scenario][DESIGN-3.9]") {
  const bool one_thread = GENERATE(true, false);
  Channel channel;
  const Publisher publisher(channel);
  net::io_context io(1);
  const auto work = net::require(io.get_executor(), net::execution::outstanding_work.tracked);
  EveryServer server(io, {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  server.start();
  std::jthread first([&] { io.run(); });
  SseClient sse(server.port(), "/c");
  sse.open();
  WebSocketClient ws(server.port(), "/c", WebSocketClient::v1);
  ws.open();
  io.stop();
  first.join();
  const auto id = publisher.publish({.data = "while it rests"}).value().to_string();
  CHECK(sse.connection().wait_for_end(20ms) == Connection::End::open);
  CHECK(sse.connection().unread().empty());
  io.restart();
  std::jthread second([&] { io.run(); });
  CHECK(sse.next_event().id == id);
  CHECK(ws.next_v1().id == id);
  CHECK(get(server.port(), "/c").status == 200);
  io.stop();
}

TEST_CASE("publishing goes on from many threads while servers come and go", "[scenario][DESIGN-3.2]") {
  Channel channel;
  Loop loop(2);
  std::atomic<bool> stop = false;
  std::vector<std::jthread> publishers;
  for (int i = 0; i < 2; ++i) {
    publishers.emplace_back([&] {
      const Publisher publisher(channel);
      while (!stop) {
        publisher.publish({.data = "x"});
        std::this_thread::yield();
      }
    });
  }
  for (int round = 0; round < 10; ++round) {
    EveryServer server(loop.contexts(), {.endpoint = {.one_thread = round % 2 == 0}});
    server.route("/c", channel);
    server.start();
    SseClient sse(server.port(), "/c");
    WebSocketClient ws(server.port(), "/c", WebSocketClient::v1);
    Connection held(server.port());
    held.send(request_text("GET", "/c?wait=60"));
    sse.open();
    ws.open();
    sse.next_event();
    ws.next_v1();
    held.read_response();
  }
  stop = true;
  publishers.clear();
  CHECK(eventually([&] { return channel.subscriber_count() == 0; }));
}

TEST_CASE("a server may be destroyed before, after or without its loop running", "[scenario][DESIGN-3.9]") {
  Channel channel;
  SECTION("the loop never ran") {
    net::io_context io;
    Server<Sse> server{io};
    server.route("/c", channel);
    server.start();
  }
  SECTION("the loop goes first, with connections open") {
    auto io = std::make_unique<net::io_context>();
    Server<LongPolling, Sse> server{*io};
    server.route("/c", channel);
    server.start();
    Connection poll(server.port());
    poll.send(request_text("GET", "/c?wait=60", "Accept: application/json\r\n"));
    Connection stream(server.port());
    stream.send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while (channel.subscriber_count() < 2 && std::chrono::steady_clock::now() < deadline) io->run_one_for(100ms);
    REQUIRE(channel.subscriber_count() == 2);
    io.reset();
    CHECK(channel.subscriber_count() == 0);
    CHECK(Publisher(channel).publish({.data = "1"}));
    CHECK(poll.closed_by_peer());
    CHECK(stream.closed_by_peer());
  }
}
