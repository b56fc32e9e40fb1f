#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// A server whose handlers count what was executed: nothing of a refused request may be.
struct Counting {
  explicit Counting(EndpointOptions options = {}) : served(std::move(options)) {
    served.server.on_message("/c", [this](const Peer&, const Inbound&) { ++executed; });
    served.start();
  }
  std::uint16_t port() const { return served.port(); }

  std::atomic<int> executed{0};
  ServedAll served;
};

void check_problem(const Response& answer, int status) {
  CHECK(answer.status == status);
  CHECK(answer.header("Content-Type") == "application/problem+json");
  CHECK(answer.count("Date") == 1);
  CHECK(answer.count("Content-Length") == 1);
  CHECK(answer.lists("Vary", "Origin"));
  const auto problem = nlohmann::json::parse(answer.body);
  CHECK(problem.at("status") == status);
  CHECK_FALSE(problem.at("title").get<std::string>().empty());
  CHECK_FALSE(problem.at("detail").get<std::string>().empty());
}

// Sends raw bytes, with a POST behind them that must not be executed, and sees the refusal and then the close.
void refused_for_good(const std::string& raw, int status) {
  CAPTURE(raw.substr(0, 200));
  Counting test;
  auto connection = test.served.connect();
  connection.send(raw + request_text("POST", "/c", {}, "x"));
  const auto answer = connection.read_response();
  check_problem(answer, status);
  CHECK(answer.lists("Connection", "close"));
  CHECK(connection.read_to_end().empty());
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
  CHECK(test.executed == 0);
}

}  // namespace

TEST_CASE("an unknown path is 404, and the connection goes on", "[scenario][WIRE-8]") {
  Counting test;
  auto connection = test.served.connect();
  for (const auto* target : {"/", "/c/", "/C", "/c/d", "//c", "*", "/%63%63"}) {
    const std::string_view method = std::string_view(target) == "*" ? "OPTIONS" : "GET";
    connection.send(request_text(method, target));
    check_problem(connection.read_response(), 404);
  }
  connection.send(request_text("GET", "/%63") + request_text("GET", "http://localhost/c?x"));
  CHECK(connection.read_response().status == 200);
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("a wrong method is 405 with Allow, a method nobody knows 501", "[scenario][WIRE-8]") {
  Counting test;
  auto connection = test.served.connect();
  for (const auto* method : {"PUT", "DELETE", "PATCH", "TRACE"}) {
    connection.send(request_text(method, "/c"));
    const auto answer = connection.read_response();
    check_problem(answer, 405);
    for (const auto* allowed : {"GET", "HEAD", "POST"}) CHECK(answer.lists("Allow", allowed));
  }
  for (const auto* method : {"FOO", "get", "GETS", "Z-1"}) {
    connection.send(request_text(method, "/c"));
    check_problem(connection.read_response(), 501);
    connection.send(request_text(method, "/nowhere"));
    check_problem(connection.read_response(), 501);
  }
}

TEST_CASE("a method that Allow names is not answered with 405", "[scenario][WIRE-8][RFC9110-10.2.1]") {
  Counting test;
  const auto refused = request(test.port(), "PUT", "/c");
  for (const auto* method : {"GET", "HEAD", "POST", "OPTIONS"}) {
    CAPTURE(method);
    if (refused.lists("Allow", method)) CHECK(request(test.port(), method, "/c").status != 405);
  }
}

TEST_CASE("a HEAD that is refused has no body", "[scenario][WIRE-8][RFC9110-9.3.2]") {
  Counting test;
  auto connection = test.served.connect();
  connection.send(request_text("HEAD", "/nowhere") + request_text("GET", "/c"));
  const auto answer = connection.read_response(true);
  CHECK(answer.status == 404);
  CHECK(answer.header("Content-Length"));
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("a HEAD that is refused for its request line has no body either", "[scenario][WIRE-8][RFC9110-9.3.2]") {
  Counting test;
  const auto refused = [&](const std::string& line, int status) {
    auto connection = test.served.connect();
    connection.send(line + "\r\nHost: h\r\n\r\n");
    CHECK(connection.read_response(true).status == status);
    CHECK(connection.read_to_end().empty());
  };
  refused("HEAD /" + std::string(9000, 'a') + " HTTP/1.1", 414);
  refused("HEAD /c HTTP/2.0", 505);
  refused("HEAD /c#x HTTP/1.1", 400);
}

TEST_CASE("what is malformed is 400, then close", "[scenario][WIRE-8]") {
  const std::string host = "Host: h\r\n";
  const std::string post = "POST /c HTTP/1.1\r\nHost: h\r\n";
  SECTION("bad syntax") {
    refused_for_good("GET /c\r\n\r\n", 400);
    refused_for_good("GET  /c HTTP/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1.1 \r\n" + host + "\r\n", 400);
    refused_for_good("GET c HTTP/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /a\x80 HTTP/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c#x HTTP/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("G@T /c HTTP/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + "no colon\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + ": empty\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + std::string("A: \0\r\n\r\n", 8), 400);
    refused_for_good("\x16\x03\x01\x02\x01", 400);
  }
  SECTION("framing that two readers could read differently") {
    refused_for_good(post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refused_for_good(post + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400);
    refused_for_good(post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400);
    refused_for_good(post + "Content-Length: 1, 1\r\n\r\nx", 400);
    refused_for_good(post + "Content-Length: -1\r\n\r\n", 400);
    refused_for_good(post + "Content-Length: +1\r\n\r\nx", 400);
    refused_for_good(post + "Content-Length: 0x1\r\n\r\nx", 400);
    refused_for_good(post + "Content-Length: \r\n\r\n", 400);
    refused_for_good(post + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400);
    refused_for_good(post + "Transfer-Encoding: chunked\r\n\r\ng\r\n", 400);
    refused_for_good(post + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400);
    refused_for_good("POST /c HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
  }
  SECTION("bare LF or CR, space before the colon, obs-fold") {
    refused_for_good("GET /c HTTP/1.1\n" + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\nHost: h\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + "A: b\rc\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + "A : b\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n A: b\r\n" + host + "\r\n", 400);
  }
  SECTION("missing or repeated Host") {
    refused_for_good("GET /c HTTP/1.1\r\n\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\n" + host + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
  }
  SECTION("malformed version") {
    refused_for_good("GET /c HTTP/1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c http/1.1\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1.11\r\n" + host + "\r\n", 400);
    refused_for_good("GET /c HTTP/1,1\r\n" + host + "\r\n", 400);
  }
  SECTION("an upgrade with a body") {
    refused_for_good("GET /c HTTP/1.1\r\n" + host +
                         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 1\r\n\r\nx",
                     400);
  }
}

TEST_CASE("a path with a malformed percent-encoding is 400", "[scenario][WIRE-8]") {
  Counting test;
  Hub hub;
  Server<ShortPolling> server{test.served.loop.context()};
  server.route("/channels/{name}", hub);
  server.start();
  check_problem(get(server.port(), "/channels/%zz"), 400);
  check_problem(get(server.port(), "/channels/%"), 400);
  check_problem(get(server.port(), "/channels/a%2Fb"), 400);
  check_problem(get(server.port(), "/channels/.."), 400);
  CHECK(get(server.port(), "/channels/a~b").status == 200);
}

TEST_CASE("a hub with too many channels is 503 with Retry-After", "[scenario][WIRE-8]") {
  Loop loop;
  Hub hub({.max_channels = 1});
  Server<ShortPolling> server{loop.context()};
  server.route("/channels/{name}", hub);
  server.start();
  CHECK(get(server.port(), "/channels/a").status == 200);
  const auto answer = get(server.port(), "/channels/b");
  check_problem(answer, 503);
  CHECK(answer.header("Retry-After"));
}

TEST_CASE("a target, a header or a head that is too long is 414 or 431, then close", "[scenario][WIRE-8]") {
  const std::string host = "Host: h\r\n";
  const auto target = [](std::size_t size) { return "/c?" + std::string(size - 3, 'x'); };
  refused_for_good("GET " + target(8193) + " HTTP/1.1\r\n" + host + "\r\n", 414);
  refused_for_good("GET " + target(30000) + " HTTP/1.1\r\n" + host + "\r\n", 414);
  refused_for_good("GET /c HTTP/1.1\r\n" + host + "A: " + std::string(8192, 'x') + "\r\n\r\n", 431);
  std::string many = "GET /c HTTP/1.1\r\n" + host;
  while (many.size() <= 32768) many += "A: " + std::string(4000, 'x') + "\r\n";
  refused_for_good(many + "\r\n", 431);

  Counting test;
  CHECK(test.served.get(target(8192)).status == 200);
  CHECK(test.served.get("/c", "A: " + std::string(8100, 'x') + "\r\n").status == 200);
}

TEST_CASE("a body that is too large, an unknown coding and another version, then close", "[scenario][WIRE-8]") {
  const std::string post = "POST /c HTTP/1.1\r\nHost: h\r\n";
  refused_for_good(post + "Content-Length: 1048577\r\n\r\n", 413);
  refused_for_good(post + "Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413);
  refused_for_good(post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501);
  refused_for_good(post + "Transfer-Encoding: identity\r\n\r\n", 501);
  refused_for_good("GET /c HTTP/2.0\r\nHost: h\r\n\r\n", 505);
  refused_for_good("GET /c HTTP/0.9\r\nHost: h\r\n\r\n", 505);
  refused_for_good("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

TEST_CASE("nothing of a refused request is executed, nor of what follows it", "[scenario][WIRE-8]") {
  Counting test;
  auto connection = test.served.connect();
  connection.send(request_text("POST", "/c", {}, "first") + "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n" +
                  request_text("POST", "/c", {}, "third"));
  CHECK(connection.read_response().status == 202);
  CHECK(connection.read_response().status == 400);
  CHECK(connection.read_to_end().empty());
  CHECK(test.executed == 1);
}

TEST_CASE("a refusal says nothing of the request before it on the connection", "[scenario][WIRE-8]") {
  Counting test({.cors = {.allowed_origins = {"https://a.example"}}, .head_timeout = 100ms});
  auto connection = test.served.connect();
  connection.send(request_text("HEAD", "/c", "Origin: https://a.example\r\n"));
  CHECK(connection.read_response(true).header("Access-Control-Allow-Origin") == "https://a.example");
  int status = 0;
  SECTION("bad syntax") {
    connection.send("GET /c\r\n\r\n");
    status = 400;
  }
  SECTION("a head that does not come in time") {
    connection.send("GET /c");
    status = 408;
  }
  const auto answer = connection.read_response();
  check_problem(answer, status);
  CHECK_FALSE(answer.header("Access-Control-Allow-Origin"));
}

TEST_CASE("a head that does not come in time is 408, then close", "[scenario][WIRE-8]") {
  Counting test({.head_timeout = 100ms});
  auto connection = test.served.connect();
  SECTION("of the first request") { connection.send("GET /c HTTP/1.1\r\nHost:"); }
  SECTION("of a later request") {
    connection.send(request_text("GET", "/c"));
    CHECK(connection.read_response().status == 200);
    connection.send("G");
  }
  SECTION("of a pipelined request") {
    connection.send(request_text("GET", "/c") + "GET /c HTT");
    CHECK(connection.read_response().status == 200);
  }
  const auto answer = connection.read_response();
  check_problem(answer, 408);
  CHECK(answer.lists("Connection", "close"));
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
}

TEST_CASE("bytes that trickle in do not put the head's time off", "[scenario][WIRE-8]") {
  Counting test({.head_timeout = 200ms});
  auto connection = test.served.connect();
  connection.set_patience(1ms);
  std::string seen;
  const auto begin = std::chrono::steady_clock::now();
  CHECK(eventually([&] {
    connection.try_send("x");
    connection.wait_for_end(10ms);
    return connection.unread().find("\r\n") != std::string::npos;
  }));
  CHECK(connection.unread().starts_with("HTTP/1.1 408 "));
  CHECK(std::chrono::steady_clock::now() - begin < 3s);
}

TEST_CASE("the head's clock starts with the accept, not with the first byte", "[scenario][WIRE-8]") {
  Counting test({.head_timeout = 1s});
  const auto begin = std::chrono::steady_clock::now();
  auto connection = test.served.connect();
  // The first byte comes late in the time that the head has.
  REQUIRE_FALSE(connection.closed_by_peer(800ms));
  connection.send("G");
  CHECK(connection.read_response().status == 408);
  CHECK(std::chrono::steady_clock::now() - begin < 1600ms);
}

TEST_CASE("a connection that has sent nothing is closed without an answer", "[scenario][WIRE-8]") {
  Counting test({.head_timeout = 50ms});
  auto connection = test.served.connect();
  SECTION("nothing at all") {}
  SECTION("an empty line alone") { connection.send("\r\n"); }
  CHECK(connection.read_to_end().empty());
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
  CHECK(test.served.connections(0));
}

TEST_CASE("a body that does not come in time is 408, then close", "[scenario][WIRE-8]") {
  Counting test({.body_timeout = 100ms});
  auto connection = test.served.connect();
  SECTION("by length") { connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell"); }
  SECTION("by chunks") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n");
  }
  SECTION("after Expect") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    CHECK(connection.read_response().status == 100);
  }
  check_problem(connection.read_response(), 408);
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
  CHECK(test.executed == 0);
}

TEST_CASE("a kept-alive connection without a request is closed after the idle time", "[scenario][WIRE-8]") {
  Counting test({.idle_timeout = 100ms});
  auto connection = test.served.connect();
  connection.send(request_text("GET", "/c"));
  CHECK(connection.read_response().status == 200);
  CHECK(connection.read_to_end().empty());
  CHECK(connection.wait_for_end(5s) == Connection::End::closed);
  CHECK(test.served.connections(0));
}

TEST_CASE("the idle time does not end a held poll", "[scenario][WIRE-8]") {
  Counting test({.head_timeout = 50ms, .body_timeout = 50ms, .idle_timeout = 50ms});
  auto connection = test.served.connect();
  connection.send(request_text("GET", "/c?wait=0.3"));
  CHECK(connection.read_response().status == 200);
}

TEST_CASE("a client that sends much after a refusal still reads the answer", "[scenario][WIRE-8]") {
  Counting test;
  auto connection = test.served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 200000000\r\n\r\n");
  connection.send(std::string(200'000, 'x'));
  CHECK(connection.read_response().status == 413);
  // The half-close comes before the client has ended; what it sends then does no harm.
  CHECK(connection.read_to_end().empty());
  connection.send("more");
  connection.close();
  CHECK(test.served.connections(0));
}

TEST_CASE("a lingering connection is bounded in time and in bytes", "[scenario][WIRE-8]") {
  Counting test({.linger_timeout = 100ms, .linger_bytes = 100'000});
  auto connection = test.served.connect();
  connection.send("BAD\r\n\r\n");
  CHECK(connection.read_response().status == 400);
  SECTION("time") {}
  SECTION("bytes") {
    const std::string much(1 << 20, 'x');
    for (int i = 0; i < 10; ++i) connection.try_send(much);
  }
  CHECK(test.served.connections(0));
}

TEST_CASE("the authorizer's no is 401 with WWW-Authenticate, or 403", "[scenario][WIRE-8]") {
  std::atomic<int> executed{0};
  ServedAll served;
  served.server.on_message("/c", [&](const Peer&, const Inbound&) { ++executed; });
  served.server.authorize([](const RequestHead& head) {
    if (!head.header("Authorization")) return unauthorized("Bearer realm=\"x\"");
    return head.header("Authorization") == "Bearer good" ? allow() : deny();
  });
  served.start();
  for (const auto* headers : {"", "Accept: text/event-stream\r\n",
                              "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"}) {
    const auto answer = served.get("/c?wait=60", headers);
    check_problem(answer, 401);
    CHECK(answer.header("WWW-Authenticate") == "Bearer realm=\"x\"");
    check_problem(served.get("/c?wait=60", std::string(headers) + "Authorization: Bearer bad\r\n"), 403);
  }
  check_problem(served.post("x"), 401);
  check_problem(served.post("x", "Authorization: Bearer bad\r\n"), 403);
  CHECK(executed == 0);
  CHECK(served.post("x", "Authorization: Bearer good\r\n").status == 202);
  CHECK(served.get("/c", "Authorization: Bearer good\r\n").status == 200);
  CHECK(executed == 1);
}

TEST_CASE("the refused body of a POST that waits for 100-continue is not asked for", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.on_message("/c", [](const Peer&, const Inbound&) {});
  served.server.authorize([](const RequestHead&) { return deny(); });
  served.start();
  auto connection = served.connect();
  connection.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  const auto answer = connection.read_response();
  CHECK(answer.status == 403);
  // The client can't tell whether it should still send the body, so the connection ends.
  CHECK(answer.lists("Connection", "close"));
}

TEST_CASE("past the connection limit requests are 503 with Retry-After, then close", "[scenario][WIRE-8]") {
  Counting test({.max_connections = 1});
  auto first = test.served.connect();
  first.send(request_text("GET", "/c"));
  CHECK(first.read_response().status == 200);
  for (const auto* headers : {"", "Accept: application/json\r\n",
                              "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"}) {
    auto second = test.served.connect();
    second.send(request_text("GET", "/c?wait=60", headers));
    const auto answer = second.read_response();
    check_problem(answer, 503);
    CHECK(std::stoi(answer.header("Retry-After").value()) > 0);
    CHECK(answer.lists("Connection", "close"));
    CHECK(second.closed_by_peer());
    second.close();
    CHECK(test.served.connections(1));
  }
  check_problem(test.served.post("x"), 503);
  CHECK(test.executed == 0);
  first.close();
  CHECK(test.served.connections(0));
  CHECK(test.served.get().status == 200);
}

TEST_CASE("past the connection limit SSE gets a stream of one retry that ends", "[scenario][WIRE-8]") {
  EndpointOptions options;
  options.stream.retry = 1000ms;
  options.max_connections = 1;
  options.cors.allowed_origins = {"*"};
  std::set<int> waits;
  const auto check = [&](auto&& served, std::string_view headers) {
    served.start();
    auto first = served.connect();
    first.send(request_text("GET", "/c"));
    REQUIRE(served.connections(1));
    for (int i = 0; i < 4; ++i) {
      const auto answer = served.get("/c", headers);
      CHECK(answer.status == 200);
      CHECK(answer.header("Content-Type") == "text/event-stream");
      CHECK(answer.header("Access-Control-Allow-Origin") == "*");
      REQUIRE(answer.body.starts_with("retry: "));
      const int wait = std::stoi(answer.body.substr(7));
      CHECK(answer.body == "retry: " + std::to_string(wait) + "\n\n");
      CHECK(wait >= 1000);
      CHECK(wait <= 2000);
      waits.insert(wait);
      REQUIRE(served.connections(1));
    }
  };
  check(ServedAll(options), "Origin: https://a.example\r\nAccept: text/event-stream\r\n");
  check(Served<Sse>(options), "Origin: https://a.example\r\n");
  CHECK(waits.size() > 1);
}

TEST_CASE("past the connection limit the fallback is not called either", "[scenario][WIRE-8]") {
  std::atomic<int> executed{0};
  ServedAll served({.max_connections = 1});
  served.server.fallback([&](const HttpRequest&) {
    ++executed;
    return HttpResponse{};
  });
  served.start();
  auto first = served.connect();
  first.send(request_text("GET", "/c"));
  CHECK(first.read_response().status == 200);
  CHECK(served.get("/page").status == 503);
  CHECK(executed == 0);
}

TEST_CASE("a fallback answers what no route matches", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.fallback([](HttpRequest request) -> net::awaitable<HttpResponse> {
    if (request.head.path() == "/throw") throw std::runtime_error("no");
    co_return HttpResponse{.status = 203, .body = request.body + "!", .headers = {{"X-A", "b"}}};
  });
  served.start();
  auto connection = served.connect();
  connection.send(request_text("POST", "/page", {}, "hi") + request_text("HEAD", "/page") +
                  request_text("GET", "/throw") + request_text("GET", "/c"));
  const auto answer = connection.read_response();
  CHECK(answer.status == 203);
  CHECK(answer.body == "hi!");
  CHECK(answer.header("X-A") == "b");
  CHECK(answer.header("Date"));
  CHECK(connection.read_response(true).header("Content-Length") == "1");
  check_problem(connection.read_response(), 500);
  CHECK(connection.read_response().status == 200);
}
