#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/limits.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// A connection from that address of the loopback network; on Linux all of 127.0.0.0/8 is this machine.
Connection connect_from(const char* source, std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, source, &address.sin_addr);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return Connection::over(fd);
}

// A connection that has been served, and is counted as long as it lives.
Connection served_once(Connection connection) {
  connection.send(request_text("GET", "/c"));
  REQUIRE(connection.read_response().status == 200);
  return connection;
}

Response answer(Connection connection, std::string_view headers, std::string_view method = "GET") {
  connection.send(request_text(method, "/c?wait=60", headers, method == "POST" ? "x" : ""));
  const auto response = connection.read_response();
  CHECK(response.lists("Connection", "close"));
  CHECK(connection.closed_by_peer());
  return response;
}

}  // namespace

TEST_CASE("past an address's limit its connections are refused on every transport, and no other's",
          "[scenario][WIRE-8][DESIGN-3.5]") {
  std::atomic<int> executed{0};
  ServedAll served({.max_connections_per_address = 2});
  served.server.on_message("/c", [&](const Peer&, const Inbound&) { ++executed; });
  served.server.authorize([&](const RequestHead&) {
    ++executed;
    return allow();
  });
  served.start();
  auto first = served_once(served.connect());
  auto second = served_once(served.connect());
  CHECK(executed == 2);
  check_over_limit(answer(served.connect(), {}));
  check_over_limit(answer(served.connect(), asks_for_websocket));
  check_over_limit(answer(served.connect(), asks_for_sse), true);
  check_over_limit(answer(served.connect(), {}, "POST"));
  CHECK(executed == 2);

  auto other = served_once(connect_from("127.0.0.2", served.port()));
  auto another = served_once(connect_from("127.0.0.2", served.port()));
  check_over_limit(answer(connect_from("127.0.0.2", served.port()), {}));
  REQUIRE(served.connections(4));
  first.close();
  REQUIRE(served.connections(3));
  check_over_limit(answer(connect_from("127.0.0.2", served.port()), {}));
  first = served_once(served.connect());
}

TEST_CASE("the overall limit holds over all addresses", "[scenario][WIRE-8]") {
  ServedAll served({.max_connections = 3, .max_connections_per_address = 2});
  served.start();
  auto a = served_once(served.connect());
  auto b = served_once(connect_from("127.0.0.2", served.port()));
  auto c = served_once(connect_from("127.0.0.3", served.port()));
  check_over_limit(answer(connect_from("127.0.0.4", served.port()), {}));
  check_over_limit(answer(served.connect(), {}));
}

TEST_CASE("local sockets and connections handed in are held to the overall limit alone", "[scenario][WIRE-8]") {
  ServedAll served({.max_connections = 3, .max_connections_per_address = 1});
  served.start();
  std::vector<Connection> clients;
  for (int i = 0; i < 4; ++i) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    clients.push_back(Connection::over(pair[0]));
    served.server.adopt(pair[1], AF_UNIX, request_text("GET", "/c"));
    const auto response = clients.back().read_response();
    CHECK(response.status == (i < 3 ? 200 : 503));
  }
}

TEST_CASE("past the limit only who asks for a stream gets one of when to come again", "[scenario][WIRE-8]") {
  Served<Sse> served({.max_connections = 1});
  served.server.fallback([](const HttpRequest&) { return HttpResponse{.body = "ok"}; });
  served.start();
  auto first = served.connect();
  first.send(request_text("GET", "/healthz"));
  REQUIRE(first.read_response().body == "ok");
  for (const std::string_view accept : {"", "Accept: */*\r\n", "Accept: text/event-stream\r\n"}) {
    check_over_limit(served.get("/healthz", accept));
    check_over_limit(served.get("/c", accept), true);
    auto head = served.connect();
    head.send(request_text("HEAD", "/c", accept));
    const auto told = head.read_response(true);
    CHECK(told.status == 200);
    CHECK(told.header("Content-Type") == "text/event-stream");
    CHECK(head.closed_by_peer());
  }
}

TEST_CASE("a connection that was refused takes no place, and room is there at once", "[scenario][WIRE-8]") {
  ServedAll served({.max_connections = 1});
  served.start();
  auto first = served_once(served.connect());
  std::vector<Connection> refused;
  for (int i = 0; i < 10; ++i) refused.push_back(served.connect());
  REQUIRE(served.connections(11));
  first.close();
  REQUIRE(served.connections(10));
  first = served_once(served.connect());
  // Who came while there was no room is told so, whenever it asks.
  for (auto& connection : refused) {
    connection.send(request_text("GET", "/c"));
    check_over_limit(connection.read_response());
  }
}

TEST_CASE("an over-limit connection is closed after any answer, and before its body has come", "[scenario][WIRE-8]") {
  ServedAll served({.head_timeout = 100ms, .max_connections = 1});
  served.server.on_message("/c", [](const Peer&, const Inbound&) {});
  served.start();
  auto first = served_once(served.connect());
  auto second = served.connect();
  SECTION("404") {
    second.send(request_text("GET", "/nowhere"));
    CHECK(second.read_response().status == 404);
  }
  SECTION("405") {
    second.send(request_text("PUT", "/c"));
    CHECK(second.read_response().status == 405);
  }
  SECTION("no body is waited for") {
    second.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    check_over_limit(second.read_response());
  }
  SECTION("nothing sent") {}
  CHECK(second.read_to_end().empty());
}

TEST_CASE("those who are being refused are bounded too", "[scenario][DESIGN-3.5]") {
  ServedAll served({.max_connections = 1});
  served.start();
  auto first = served_once(served.connect());
  constexpr std::size_t most = detail::Admission::most_refused;
  std::vector<Connection> crowd;
  for (std::size_t i = 0; i < most + 5; ++i) crowd.push_back(served.connect());
  std::size_t reset = 0;
  CHECK(eventually([&] {
    reset = 0;
    for (auto& connection : crowd) reset += connection.wait_for_end(0ms) == Connection::End::reset;
    return reset == 5;
  }));
  CHECK(served.connections(most + 1));
  crowd.clear();
  CHECK(served.connections(1));
  check_over_limit(answer(served.connect(), {}));
}

TEST_CASE("a place is free again however its connection ends", "[scenario][WIRE-8]") {
  EndpointOptions options;
  options.max_connections = 2;
  options.max_connections_per_address = 1;
  options.head_timeout = options.body_timeout = options.idle_timeout = options.linger_timeout = 50ms;
  ServedAll served(options);
  served.server.on_message("/c", [](const Peer&, const Inbound&) {});
  served.start();
  auto connection = served.connect();
  REQUIRE(served.connections(1));
  SECTION("by close") { connection.close(); }
  SECTION("by reset") { connection.reset(); }
  SECTION("by the head's time-out") { connection.send("G"); }
  SECTION("by the time-out of one that sent nothing") {}
  SECTION("by the idle time") { connection = served_once(std::move(connection)); }
  SECTION("by the body's time-out") { connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nx"); }
  SECTION("by a refusal") { connection.send("BAD\r\n\r\n"); }
  SECTION("by a reset inside a stream") {
    connection.send(request_text("GET", "/c", asks_for_sse));
    connection.read_head();
    connection.reset();
  }
  SECTION("by the peer's half-close of a stream") {
    connection.send(request_text("GET", "/c", asks_for_sse));
    connection.read_head();
    connection.half_close();
  }
  SECTION("by the channel's end") {
    connection.send(request_text("GET", "/c", asks_for_sse));
    connection.read_head();
    served.channel.close();
  }
  REQUIRE(served.connections(0));
  connection = served_once(served.connect());
  CHECK(served.server.connection_count() == 1);
  check_over_limit(answer(served.connect(), {}));
}

TEST_CASE("a socket that can't be taken over takes no place", "[scenario][DESIGN-3.5]") {
  ServedAll served({.max_connections = 1});
  served.start();
  net::ip::tcp::socket closed(served.loop.context());
  CHECK(served.server.adopt(std::move(closed), request_text("GET", "/c")));
  CHECK(served.server.adopt(-1, AF_INET, request_text("GET", "/c")));
  REQUIRE(served.connections(0));
  auto first = served_once(served.connect());
}

TEST_CASE("accepting is paced, and who waits is served in the end", "[scenario][DESIGN-3.5]") {
  Loop loop;
  Channel channel;
  Server<ShortPolling> server{loop.context(), {.max_accepts_per_second = 50}};
  server.route("/c", channel);
  server.start();
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Connection> all;
  for (int i = 0; i < 30; ++i) all.emplace_back(server.port());
  for (auto& connection : all) connection.send(request_text("GET", "/c"));
  for (auto& connection : all) CHECK(connection.read_response().status == 200);
  // Five came at once, twenty-five at fifty a second.
  CHECK(std::chrono::steady_clock::now() - begin >= 480ms);
  CHECK(server.connection_count() == 30);
}

TEST_CASE("a paced listener does not keep a destroyed server alive", "[scenario][DESIGN-3.9]") {
  Loop loop;
  Channel channel;
  std::vector<Connection> waiting;
  {
    Server<ShortPolling> server{loop.context(), {.max_accepts_per_second = 1}};
    server.route("/c", channel);
    server.start();
    for (int i = 0; i < 5; ++i) waiting.emplace_back(server.port());
    REQUIRE(eventually([&] { return server.connection_count() == 1; }));
  }
  CHECK(loop.finish());
  for (auto& connection : waiting) CHECK(connection.closed_by_peer());
}

TEST_CASE("limits that contradict each other throw when the server is made", "[scenario][DESIGN-3.10]") {
  net::io_context io;
  const auto refused = [&](ServerOptions options) {
    CHECK_THROWS_AS(Server<Sse>(io, std::move(options)), std::invalid_argument);
  };
  refused({.backlog = 0});
  refused({.endpoint = {.max_connections = 1, .max_connections_per_address = 2}});
  refused({.endpoint = {.inbound_rate = {.burst = 0ms}}});
  refused({.endpoint = {.max_message = 1000, .inbound_rate = {.bytes_per_second = 1013}}});
  refused({.endpoint = {.max_message = 1000, .inbound_rate = {.bytes_per_second = 2027, .burst = 500ms}}});
  refused({.endpoint = {.inbound_rate = {.messages_per_second = 9, .burst = 100ms}}});
  CHECK_NOTHROW(Server<Sse>(io, {.endpoint = {.max_message = 1000, .inbound_rate = {.bytes_per_second = 1014}}}));
  CHECK_NOTHROW(Server<Sse>(io, {.endpoint = {.max_connections = 2, .max_connections_per_address = 2}}));
}
