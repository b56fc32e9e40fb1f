#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <downlink/downlink.hpp>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/local/stream_protocol.hpp>
#else
#include <asio/local/stream_protocol.hpp>
#endif

#include "scenario/embedded.hpp"
#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("handles tells whether a route would serve a request, and moves nothing", "[scenario][DESIGN-5]") {
  Embedded test;
  CHECK(test.endpoint.handles(RequestHead("GET", "/c")));
  CHECK(test.endpoint.handles(RequestHead("GET", "/c?x=/d")));
  CHECK(test.endpoint.handles(RequestHead("PUT", "/%63")));
  CHECK_FALSE(test.endpoint.handles(RequestHead("GET", "/")));
  CHECK_FALSE(test.endpoint.handles(RequestHead("GET", "/c/d")));
  CHECK_FALSE(test.endpoint.handles(RequestHead("GET", "/%6")));
}

TEST_CASE("after a poll the socket and the unread bytes come back", "[scenario][DESIGN-5]") {
  Embedded test;
  const auto id = test.publisher.publish({.data = "1"}).value().to_string();
  Connection client(test.application.port());
  client.send(request_text("GET", "/c?cursor=earliest") + request_text("GET", "/mine"));

  auto [socket, unread, head] = test.application.accept_request();
  REQUIRE(test.endpoint.handles(head));
  auto [back, rest] = take(test.endpoint.async_serve(std::move(socket), head, std::move(unread), net::use_future));
  CHECK(PollAnswer(client.read_response()).ids == std::vector<std::string>{id});
  REQUIRE(back.is_open());
  CHECK(test.endpoint.connection_count() == 0);

  const auto next = Application::read_head(back, rest);
  CHECK(next.target() == "/mine");
  CHECK(rest.empty());
  CHECK_FALSE(test.endpoint.handles(next));
  Application::write(back, own_answer);
  CHECK(client.read_response().body == "own");

  // And once more over the same socket.
  client.send(request_text("GET", "/c"));
  const auto again = Application::read_head(back, rest);
  std::tie(back, rest) = take(test.endpoint.async_serve(std::move(back), again, std::move(rest), net::use_future));
  CHECK(client.read_response().status == 200);
  Application::write(back, own_answer);
  CHECK(client.read_response().body == "own");
}

TEST_CASE("a held poll's socket comes back when it is answered, with what came meanwhile", "[scenario][DESIGN-5]") {
  Embedded test;
  Connection client(test.application.port());
  client.send(request_text("GET", "/c?wait=60"));
  auto [socket, unread, head] = test.application.accept_request();
  auto served = test.endpoint.async_serve(std::move(socket), head, unread, net::use_future);
  REQUIRE(eventually([&] { return test.channel.subscriber_count() == 1; }));
  client.send(request_text("GET", "/mine"));
  test.publisher.publish({.data = "1"});
  auto [back, rest] = take(std::move(served));
  CHECK(PollAnswer(client.read_response()).data == std::vector<std::string>{"1"});
  CHECK(Application::read_head(back, rest).target() == "/mine");
  Application::write(back, own_answer);
  CHECK(client.read_response().body == "own");
}

TEST_CASE("after an answer that closes the socket comes back closed", "[scenario][DESIGN-5]") {
  Embedded test(1, {.linger_timeout = 50ms});
  Connection client(test.application.port());
  std::string unread;
  SECTION("Connection: close") { client.send(request_text("GET", "/c", "Connection: close\r\n")); }
  SECTION("HTTP/1.0") { client.send("GET /c HTTP/1.0\r\n\r\n"); }
  SECTION("a body that is too large") {
    test.endpoint.on_message("/c", [](const Peer&, const Inbound&) {});
    client.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n");
  }
  tcp::socket socket = test.application.accept();
  wire::RequestParser parser{RequestLimits{.max_body = 1 << 30}};
  while (parser.state() == wire::RequestParser::State::head) {
    char buffer[4096];
    unread.append(buffer, socket.read_some(net::buffer(buffer)));
    unread.erase(0, parser.feed(unread));
  }
  auto [back, rest] = take(test.endpoint.async_serve(std::move(socket), parser.head(), unread, net::use_future));
  CHECK_FALSE(back.is_open());
  CHECK(client.read_response().status >= 200);
  CHECK(client.closed_by_peer());
}

TEST_CASE("after a stream the socket comes back closed", "[scenario][DESIGN-5]") {
  Embedded test;
  Connection client(test.application.port());
  client.send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  auto [socket, unread, head] = test.application.accept_request();
  auto served = test.endpoint.async_serve(std::move(socket), head, unread, net::use_future);
  client.read_until("downlink.open");
  test.publisher.publish({.data = "1"});
  client.read_until("data: 1\n");
  CHECK(served.wait_for(0s) == std::future_status::timeout);
  client.close();
  REQUIRE(served.wait_for(5s) == std::future_status::ready);
  CHECK_FALSE(std::get<0>(served.get()).is_open());
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("a POST whose body was read in part or whole before is taken", "[scenario][DESIGN-5]") {
  std::mutex mutex;
  std::vector<std::string> taken;
  Embedded test;
  test.endpoint.on_message("/c", [&](const Peer&, const Inbound& message) {
    const std::lock_guard guard(mutex);
    taken.push_back(message.data);
  });
  const std::string text = request_text("POST", "/c", {}, "hello") + request_text("GET", "/mine");
  const auto cut = static_cast<std::size_t>(
      GENERATE_COPY(static_cast<int>(text.find("hello")), static_cast<int>(text.find("hello") + 3),
                    static_cast<int>(text.find("GET")), static_cast<int>(text.size())));
  Connection client(test.application.port());
  client.send(text.substr(0, cut));
  auto [socket, unread, head] = test.application.accept_request();
  auto served = test.endpoint.async_serve(std::move(socket), head, unread, net::use_future);
  client.send(text.substr(cut));
  auto [back, rest] = take(std::move(served));
  CHECK(client.read_response().status == 202);
  CHECK(Application::read_head(back, rest).target() == "/mine");
  const std::lock_guard guard(mutex);
  CHECK(taken == std::vector<std::string>{"hello"});
}

TEST_CASE("a connection that is handed in while draining is answered what it has sent", "[scenario][WIRE-9]") {
  Embedded test;
  Connection half(test.application.port());  // keeps the drain from being over
  REQUIRE_FALSE(test.endpoint.adopt(test.application.accept(), "GET /c HT"));
  REQUIRE(eventually([&] { return test.endpoint.connection_count() == 1; }));
  test.endpoint.async_drain(1h, [] {});
  test.loop.run_on([] {});
  Connection client(test.application.port());
  client.send(request_text("GET", "/c"));
  REQUIRE_FALSE(test.endpoint.adopt(test.application.accept(), std::string()));
  const auto answer = client.read_response();
  CHECK(answer.status == 200);
  CHECK(answer.lists("Connection", "close"));
}

TEST_CASE("adopt takes a connection for good", "[scenario][DESIGN-5]") {
  Embedded test;
  test.endpoint.on_message("/c",
                           [](const Peer&, const Inbound& message) { return Reply(Message{.data = message.data}); });
  Connection client(test.application.port());
  client.send(request_text("POST", "/c", {}, "hello"));
  tcp::socket socket = test.application.accept();
  SECTION("by the socket, the head and what came after it") {
    std::string unread;
    const auto head = Application::read_head(socket, unread);
    CHECK_FALSE(test.endpoint.adopt(std::move(socket), head, unread));
  }
  SECTION("by the socket and the raw bytes") {
    char buffer[4096];
    const auto size = socket.read_some(net::buffer(buffer));
    CHECK_FALSE(test.endpoint.adopt(std::move(socket), std::string(buffer, size)));
  }
  SECTION("by the socket and a part of the head") {
    char buffer[20];
    const auto size = socket.read_some(net::buffer(buffer));
    CHECK_FALSE(test.endpoint.adopt(std::move(socket), std::string(buffer, size)));
  }
  SECTION("by the socket of which nothing was read") {
    CHECK_FALSE(test.endpoint.adopt(std::move(socket), std::string()));
  }
  SECTION("by the native handle and the raw bytes") {
    char buffer[4096];
    const auto size = socket.read_some(net::buffer(buffer));
    const int native = socket.release();
    test.endpoint.adopt(native, AF_INET, std::string(buffer, size));
  }
  CHECK(client.read_response().body == "hello");
  client.send(request_text("GET", "/nowhere") + request_text("GET", "/c"));
  CHECK(client.read_response().status == 404);
  CHECK(client.read_response().status == 200);
  CHECK(test.endpoint.connection_count() == 1);
  client.close();
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("a socket that is not open is an error", "[scenario][DESIGN-5]") {
  Embedded test;
  CHECK(test.endpoint.adopt(tcp::socket(test.own.context()), std::string("GET")));
  std::promise<error_code> promise;
  test.endpoint.async_serve(tcp::socket(test.own.context()), RequestHead("GET", "/c"), "",
                            [&](error_code error, tcp::socket, const std::string&) { promise.set_value(error); });
  auto future = promise.get_future();
  REQUIRE(future.wait_for(5s) == std::future_status::ready);
  CHECK(future.get());
  CHECK(test.endpoint.connection_count() == 0);
}

TEST_CASE("a local socket is served like any other", "[scenario][DESIGN-5]") {
  Embedded test;
  const auto id = test.publisher.publish({.data = "1"}).value().to_string();
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  auto client = Connection::over(pair[0]);
  SECTION("by its native handle") { test.endpoint.adopt(pair[1], AF_UNIX, request_text("GET", "/c?cursor=earliest")); }
  SECTION("by its socket") {
    net::local::stream_protocol::socket socket(test.own.context(), net::local::stream_protocol(), pair[1]);
    CHECK_FALSE(test.endpoint.adopt(std::move(socket), request_text("GET", "/c?cursor=earliest")));
  }
  CHECK(PollAnswer(client.read_response()).ids == std::vector<std::string>{id});
  client.send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  client.read_until("downlink.open");
  test.publisher.publish({.data = "2"});
  client.read_until("data: 2\n");
}

TEST_CASE("several contexts share the connections of one server", "[scenario][DESIGN-3.2]") {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  Channel channel;
  Loop loop(3);
  Server<ShortPolling, LongPolling, Sse, WebSocket> server{{loop.context(0), loop.context(1), loop.context(2)}};
  server.route("/c", channel);
  server.on_message("/c", [&](const Peer&, const Inbound&) {
    const std::lock_guard guard(mutex);
    threads.insert(std::this_thread::get_id());
  });
  server.start();
  std::vector<Connection> polls;
  std::vector<Connection> streams;
  for (int i = 0; i < 9; ++i) {
    polls.emplace_back(server.port());
    polls.back().send(request_text("GET", "/c?wait=60"));
    streams.emplace_back(server.port());
    streams.back().send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
    streams.back().read_until("downlink.open");
  }
  for (int i = 0; i < 9; ++i) CHECK(post(server.port(), "/c", "x").status == 202);
  REQUIRE(eventually([&] { return channel.subscriber_count() == 18; }));
  Publisher(channel).publish({.data = "1"});
  for (auto& poll : polls) CHECK(PollAnswer(poll.read_response()).data == std::vector<std::string>{"1"});
  for (auto& stream : streams) stream.read_until("data: 1\n");
  const std::lock_guard guard(mutex);
  CHECK(threads.size() == 3);
}

TEST_CASE("several threads may run one context", "[scenario][DESIGN-3.2]") {
  Channel channel;
  Loop loop;
  Server<ShortPolling, LongPolling> server{loop.context()};
  server.route("/c", channel);
  std::atomic<int> count{0};
  server.on_message("/c", [&](const Peer&, const Inbound& message) {
    ++count;
    Publisher(channel).publish({.data = message.data});
  });
  server.start();
  std::vector<std::jthread> runners;
  for (int i = 0; i < 3; ++i) runners.emplace_back([&] { loop.context().run(); });
  {
    std::vector<std::jthread> clients;
    std::atomic<int> good{0};
    for (int i = 0; i < 4; ++i) {
      clients.emplace_back([&] {
        Connection connection(server.port());
        for (int j = 0; j < 25; ++j) {
          connection.send(request_text("POST", "/c", {}, "x") + request_text("GET", "/c?wait=0.01&history=1"));
          good += connection.read_response().status == 202;
          good += connection.read_response().status == 200;
        }
      });
    }
    clients.clear();
    CHECK(good == 200);
  }
  CHECK(count == 100);
  loop.stop();
}

TEST_CASE("other requests at the port fall to the fallback", "[scenario][DESIGN-5]") {
  ServedAll served;
  served.server.fallback([](const HttpRequest& request) {
    return HttpResponse{.status = 200, .content_type = "text/html", .body = "<p>" + std::string(request.head.path())};
  });
  served.start();
  CHECK(served.get("/").body == "<p>/");
  CHECK(served.get("/").header("Content-Type") == "text/html");
  CHECK(served.get("/c").header("Content-Type") == "application/json");
}

TEST_CASE("two servers in one loop do not know of each other", "[scenario][DESIGN-3.1]") {
  Served<ShortPolling> first;
  Channel other;
  std::optional<Server<Sse>> second{std::in_place, first.loop.context()};
  second->route("/c", other);
  second->start();
  first.start();
  CHECK(get(second->port(), "/c", "Accept: image/png\r\n").status == 406);
  second.reset();
  CHECK(first.get().status == 200);
}

TEST_CASE("run returns when nothing is left to do", "[scenario][DESIGN-3.1]") {
  net::io_context io;
  Channel channel;
  const auto runs_out = [&] {
    io.restart();
    io.run_for(10s);
    return io.stopped();
  };
  SECTION("the server is destroyed without ever having started") {
    { Server<Sse> server{io}; }
    CHECK(runs_out());
  }
  SECTION("the server is destroyed with connections of every kind") {
    std::optional<Server<ShortPolling, LongPolling, Sse, WebSocket>> server{std::in_place, io};
    server->route("/c", channel);
    server->start();
    std::vector<Connection> connections;
    for (const auto* headers : {"", "Prefer: wait=60\r\n", "Accept: text/event-stream\r\n",
                                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"}) {
      connections.emplace_back(server->port());
      connections.back().send(request_text("GET", "/c", headers));
    }
    connections.emplace_back(server->port());  // which says nothing
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    while ((channel.subscriber_count() < 3 || server->connection_count() < 5) &&
           std::chrono::steady_clock::now() < deadline) {
      io.run_one_for(100ms);
    }
    REQUIRE(channel.subscriber_count() == 3);
    server.reset();
    CHECK(runs_out());
    CHECK(channel.subscriber_count() == 0);
    for (auto& connection : connections) CHECK(connection.closed_by_peer());
  }
  SECTION("an endpoint's last connection ends") {
    Endpoint<LongPolling, Sse> endpoint{io};
    endpoint.route("/c", channel);
    CHECK(runs_out());
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    auto client = Connection::over(pair[0]);
    client.send(request_text("GET", "/c", GENERATE("Prefer: wait=60\r\n", "Accept: text/event-stream\r\n", "")));
    endpoint.adopt(pair[1], AF_UNIX, "");
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    io.restart();
    while (channel.subscriber_count() < 1 && std::chrono::steady_clock::now() < deadline) io.run_one_for(100ms);
    REQUIRE(channel.subscriber_count() == 1);
    client.close();
    CHECK(runs_out());
    CHECK(endpoint.connection_count() == 0);
  }
}

TEST_CASE("what is set up wrongly throws with a sentence", "[scenario][DESIGN-3.10]") {
  net::io_context io;
  Channel channel;
  CHECK_THROWS_AS(Server<Sse>(Contexts{}), std::invalid_argument);
  Server<Sse> server{io, {.address = "nonsense"}};
  CHECK_THROWS_AS(server.start(), std::invalid_argument);
  CHECK_THROWS_AS(server.route("c", channel), std::invalid_argument);
  server.route("/c", channel);
  CHECK_THROWS_AS(server.route("/c", channel), std::invalid_argument);
  CHECK_THROWS_AS(server.on_message("/d", [](const Peer&, const Inbound&) {}), std::invalid_argument);
  Server<Sse> listening{io};
  listening.start();
  Server<Sse> taken{io, {.port = listening.port()}};
  CHECK_THROWS_AS(taken.start(), system_error);
}
