#include <atomic>
#include <string>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;

namespace {

constexpr std::string_view mine = "Origin: https://a.example\r\n";
constexpr std::string_view other = "Origin: https://b.example\r\n";

EndpointOptions allowing(std::vector<std::string> origins, bool credentials = false) {
  return {.cors = {.allowed_origins = std::move(origins), .allow_credentials = credentials}};
}

struct Test {
  explicit Test(EndpointOptions options = allowing({"https://a.example"})) : served(std::move(options)) {
    served.server.on_message("/c", [this](const Peer&, const Inbound&) { ++executed; });
    served.start();
  }

  std::atomic<int> executed{0};
  ServedAll served;
};

void check_allowed(const Response& answer, std::string_view origin = "https://a.example") {
  CHECK(answer.header("Access-Control-Allow-Origin") == std::string(origin));
  CHECK(answer.count("Access-Control-Allow-Origin") == 1);
  CHECK(answer.lists("Access-Control-Expose-Headers", "ETag"));
  CHECK(answer.lists("Vary", "Origin"));
}

void check_not_allowed(const Response& answer) {
  for (const auto& [name, value] : answer.headers) CHECK_FALSE(name.starts_with("Access-Control-"));
  CHECK(answer.lists("Vary", "Origin"));
}

Response stream_head(ServedAll& served, std::string_view headers) {
  auto connection = served.connect();
  connection.send(request_text("GET", "/c", headers));
  return connection.read_head();
}

}  // namespace

TEST_CASE("an allowed origin gets its header on every answer, errors too", "[scenario][WIRE-8]") {
  Test test;
  auto& served = test.served;
  const std::string origin(mine);
  const auto id = served.publish("1");
  const auto checked = [](const Response& answer, int status) {
    CHECK(answer.status == status);
    check_allowed(answer);
  };
  checked(served.get("/c", origin), 200);
  checked(served.get("/c?wait=0.01", origin), 200);
  checked(served.get("/c", origin + "If-None-Match: \"" + id + "\"\r\n"), 304);
  checked(request(served.port(), "HEAD", "/c", origin), 200);
  checked(served.post("x", origin), 202);
  checked(served.post("\xFF", origin), 400);
  checked(served.get("/c?cursor=a%20b", origin), 400);
  checked(served.get("/nowhere", origin), 404);
  checked(request(served.port(), "PUT", "/c", origin), 405);
  checked(request(served.port(), "FOO", "/c", origin), 501);
  checked(stream_head(served, origin + "Accept: text/event-stream\r\n"), 200);
  checked(stream_head(served, origin + std::string(upgrade)), 101);
}

TEST_CASE("a page may read why its request was refused before the head was whole", "[scenario][WIRE-8]") {
  const auto answer = [](Test& test, const std::string& bytes) {
    auto connection = test.served.connect();
    connection.send(bytes);
    return connection.read_response();
  };
  Test test;
  const std::string begin = "GET /c HTTP/1.1\r\nHost: h\r\n" + std::string(mine);
  for (const auto& [line, status] : {std::pair{"Long: " + std::string(9000, 'x') + "\r\n\r\n", 431},
                                     {std::string("Transfer-Encoding: gzip\r\n\r\n"), 501},
                                     {std::string("Host: h\r\n\r\n"), 400},
                                     {std::string("no colon\r\n\r\n"), 400}}) {
    const auto refused = answer(test, begin + line);
    CHECK(refused.status == status);
    check_allowed(refused);
  }
  check_not_allowed(answer(test, "GET /c HTTP/1.1\r\nHost: h\r\n" + std::string(other) + "Host: h\r\n\r\n"));
  // Where it stands behind what was wrong.
  const std::string rest = "Host: h\r\n" + std::string(mine) + "\r\n";
  for (const auto& [wrong, status] : {std::pair{"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n", 414},
                                      {std::string("GET /c HTTP/2.0\r\n"), 505},
                                      {std::string("GET /\xE9 HTTP/1.1\r\n"), 400},
                                      {std::string(300, 'M') + " /c HTTP/1.1\r\n", 501},
                                      {"GET /c HTTP/1.1\r\nLong: " + std::string(9000, 'x') + "\r\n", 431},
                                      {std::string("GET /c HTTP/1.1\r\nBad : 1\r\n"), 400}}) {
    const auto refused = answer(test, wrong + rest);
    CHECK(refused.status == status);
    check_allowed(refused);
  }
  check_not_allowed(answer(test, "GET /c HTTP/2.0\r\n" + std::string(other) + "\r\n"));
  check_not_allowed(answer(test, "GET /c HTTP/2.0\r\nHost: h\r\n\r\n" + std::string(mine)));  // no header

  Test open(allowing({"*"}));
  const auto too_long = answer(open, "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(too_long.status == 414);
  check_allowed(too_long, "*");
}

TEST_CASE("a head that does not come in time is refused to the page as well", "[scenario][WIRE-8]") {
  auto options = allowing({"https://a.example"});
  options.head_timeout = std::chrono::milliseconds(100);
  Test test(std::move(options));
  auto connection = test.served.connect();
  connection.send("GET /c HTTP/1.1\r\nHost: h\r\n" + std::string(mine));
  const auto refused = connection.read_response();
  CHECK(refused.status == 408);
  check_allowed(refused);
}

TEST_CASE("a preflight that no route answers tells the page what other requests would", "[scenario][WIRE-8]") {
  Test test;
  const std::string preflight = std::string(mine) + "Access-Control-Request-Method: GET\r\n";
  const auto nowhere = request(test.served.port(), "OPTIONS", "/nowhere", preflight);
  CHECK(nowhere.status == 404);
  check_allowed(nowhere);

  Test fallen_back;
  fallen_back.served.server.fallback([](const HttpRequest&) { return HttpResponse{.status = 405}; });
  const auto refused = request(fallen_back.served.port(), "OPTIONS", "/nowhere", preflight);
  CHECK(refused.status == 405);
  check_allowed(refused);

  // Who takes it need not know of CORS.
  Test taken;
  taken.served.server.fallback([](const HttpRequest&) { return HttpResponse{.status = 204}; });
  const auto told = request(taken.served.port(), "OPTIONS", "/nowhere", preflight);
  CHECK(told.status == 204);
  check_allowed(told);
  CHECK(told.lists("Access-Control-Allow-Methods", "GET"));
  CHECK(told.lists("Access-Control-Allow-Headers", "Authorization"));
  CHECK(told.header("Access-Control-Max-Age"));
  const auto other = request(taken.served.port(), "OPTIONS", "/nowhere",
                             "Origin: https://other.example\r\nAccess-Control-Request-Method: GET\r\n");
  CHECK(other.status == 204);
  CHECK(other.count("Access-Control-Allow-Methods") == 0);

  Test own_word;
  own_word.served.server.fallback([](const HttpRequest&) {
    return HttpResponse{.status = 204, .headers = {{"Access-Control-Allow-Origin", "https://a.example"}}};
  });
  const auto answered = request(own_word.served.port(), "OPTIONS", "/nowhere", preflight);
  CHECK(answered.status == 204);
  CHECK(answered.count("Access-Control-Allow-Origin") == 1);
  CHECK(answered.count("Access-Control-Allow-Methods") == 0);
}

TEST_CASE("a body that is too large for an allowed origin says so to the page", "[scenario][WIRE-8]") {
  Test test;
  auto connection = test.served.connect();
  SECTION("by its length") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\n" + std::string(mine) + "Content-Length: 9999999\r\n\r\n");
  }
  SECTION("by its chunks") {
    connection.send("POST /c HTTP/1.1\r\nHost: h\r\n" + std::string(mine) +
                    "Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n");
  }
  const auto answer = connection.read_response();
  CHECK(answer.status == 413);
  check_allowed(answer);
}

TEST_CASE("errors of the authorizer and the limits carry the header too", "[scenario][WIRE-8]") {
  auto options = allowing({"https://a.example"});
  options.max_connections = 1;
  ServedAll served(options);
  served.server.authorize(
      [](const RequestHead& head) { return head.header("Authorization") ? deny() : unauthorized(); });
  served.start();
  check_allowed(served.get("/c", mine));
  REQUIRE(served.connections(0));
  check_allowed(served.get("/c", std::string(mine) + "Authorization: x\r\n"));
}

TEST_CASE("a page may read when to come back, where an answer says so", "[scenario][WIRE-8][Fetch-3.2.3]") {
  auto options = allowing({"https://a.example"});
  options.max_connections = 1;
  Test test(std::move(options));
  auto first = test.served.connect();
  first.send(request_text("GET", "/c?wait=0", mine));
  CHECK_FALSE(first.read_response().lists("Access-Control-Expose-Headers", "Retry-After"));
  const auto answer = test.served.get("/c", std::string(mine) + "Accept: application/json\r\n");
  CHECK(answer.status == 503);
  CHECK(answer.header("Retry-After"));
  check_allowed(answer);
  CHECK(answer.lists("Access-Control-Expose-Headers", "Retry-After"));
}

TEST_CASE("an answer of the fallback carries the header", "[scenario][WIRE-8]") {
  ServedAll served(allowing({"https://a.example"}));
  served.server.fallback([](const HttpRequest&) { return HttpResponse{}; });
  served.start();
  check_allowed(served.get("/page", mine));
  check_not_allowed(served.get("/page", other));
}

TEST_CASE("without an Origin there are no CORS headers, but Vary", "[scenario][WIRE-8]") {
  Test test;
  check_not_allowed(test.served.get());
  check_not_allowed(test.served.get("/nowhere"));
  check_not_allowed(stream_head(test.served, "Accept: text/event-stream\r\n"));
  CHECK(test.served.post("x").status == 202);
}

TEST_CASE("another origin gets no CORS headers to a read, and 403 to a POST or a WebSocket", "[scenario][WIRE-8]") {
  Test test;
  auto& served = test.served;
  auto answer = served.get("/c", other);
  CHECK(answer.status == 200);
  check_not_allowed(answer);
  answer = stream_head(served, std::string(other) + "Accept: text/event-stream\r\n");
  CHECK(answer.status == 200);
  check_not_allowed(answer);
  answer = served.post("x", other);
  CHECK(answer.status == 403);
  check_not_allowed(answer);
  answer = served.get("/c", std::string(other) + std::string(upgrade));
  CHECK(answer.status == 403);
  check_not_allowed(answer);
  answer = served.get("/c", std::string(mine) + std::string(other) + std::string(upgrade));
  CHECK(answer.status == 403);
  CHECK(served.post("x", "Origin: null\r\n").status == 403);
  CHECK(test.executed == 0);
}

TEST_CASE("unless configured no other origin is allowed", "[scenario][WIRE-8]") {
  Test test{EndpointOptions{}};
  check_not_allowed(test.served.get("/c", mine));
  CHECK(test.served.post("x", mine).status == 403);
}

TEST_CASE("an endpoint's own origin is always allowed", "[scenario][WIRE-8]") {
  Test test{EndpointOptions{}};
  auto& served = test.served;
  const std::string host = "127.0.0.1:" + std::to_string(served.port());
  auto answer = served.get("/c", "Host: " + host + "\r\nOrigin: http://" + host + "\r\n");
  check_allowed(answer, "http://" + host);
  CHECK(served.post("x", "Host: " + host + "\r\nOrigin: http://" + host + "\r\n").status == 202);
  CHECK(stream_head(served, "Host: h\r\nOrigin: https://h\r\n" + std::string(upgrade)).status == 101);
  CHECK(served.post("x", "Host: internal\r\nOrigin: https://a.example\r\nSec-Fetch-Site: same-origin\r\n").status ==
        202);
  CHECK(served.post("x", "Host: internal\r\nOrigin: https://a.example\r\nSec-Fetch-Site: same-site\r\n").status == 403);
  CHECK(served.post("x", "Host: h:81\r\nOrigin: http://h:80\r\n").status == 403);
  // Nobody said that a proxy is to be trusted.
  CHECK(served.post("x", "Host: i\r\nX-Forwarded-Host: a.example\r\nOrigin: https://a.example\r\n").status == 403);
  CHECK(served.post("x", "Host: i\r\nForwarded: host=a.example\r\nOrigin: https://a.example\r\n").status == 403);
}

TEST_CASE("with * every origin is allowed, without credentials", "[scenario][WIRE-8]") {
  Test test{allowing({"*"})};
  for (const auto origin : {mine, other, std::string_view("Origin: null\r\n")}) {
    const auto answer = test.served.get("/c", origin);
    check_allowed(answer, "*");
    CHECK_FALSE(answer.header("Access-Control-Allow-Credentials"));
    CHECK(test.served.post("x", origin).status == 202);
  }
  CHECK_THROWS_AS(ServedAll(allowing({"*"}, true)), std::invalid_argument);
}

TEST_CASE("with credentials the answers say so", "[scenario][WIRE-8]") {
  Test test{allowing({"https://a.example"}, true)};
  for (const auto* target : {"/c", "/nowhere"}) {
    const auto answer = test.served.get(target, mine);
    check_allowed(answer);
    CHECK(answer.header("Access-Control-Allow-Credentials") == "true");
    CHECK_FALSE(test.served.get(target, other).header("Access-Control-Allow-Credentials"));
  }
}

TEST_CASE("a preflight is 204 with methods, headers and max-age", "[scenario][WIRE-8]") {
  Test test;
  auto connection = test.served.connect();
  connection.send(request_text("OPTIONS", "/c",
                               std::string(mine) + "Access-Control-Request-Method: POST\r\n"
                                                   "Access-Control-Request-Headers: content-type\r\n") +
                  request_text("GET", "/c", mine));
  const auto answer = connection.read_response();
  CHECK(answer.status == 204);
  CHECK(answer.header("Access-Control-Allow-Origin") == "https://a.example");
  CHECK(answer.count("Access-Control-Allow-Origin") == 1);
  CHECK(answer.count("Date") == 1);
  CHECK_FALSE(answer.header("Content-Length"));
  for (const auto* method : {"GET", "POST"}) CHECK(answer.lists("Access-Control-Allow-Methods", method));
  for (const auto* name : {"Last-Event-ID", "Content-Type", "If-None-Match", "Prefer", "Authorization"}) {
    CHECK(answer.lists("Access-Control-Allow-Headers", name));
  }
  CHECK(answer.header("Access-Control-Max-Age") == "600");
  CHECK(answer.lists("Vary", "Origin"));
  CHECK(connection.read_response().status == 200);
  CHECK(test.executed == 0);
}

TEST_CASE("a preflight needs no authorization, and gives another origin nothing", "[scenario][WIRE-8]") {
  ServedAll served(allowing({"https://a.example"}));
  served.server.authorize([](const RequestHead&) { return unauthorized(); });
  served.start();
  const std::string asks = "Access-Control-Request-Method: POST\r\n";
  CHECK(request(served.port(), "OPTIONS", "/c", std::string(mine) + asks).status == 204);
  const auto answer = request(served.port(), "OPTIONS", "/c", std::string(other) + asks);
  CHECK(answer.status == 204);
  check_not_allowed(answer);
}

TEST_CASE("the answer to a preflight may be remembered for the time configured", "[scenario][WIRE-8]") {
  auto options = allowing({"*"});
  options.cors.max_age = std::chrono::seconds{5};
  Test test{options};
  const auto answer =
      request(test.served.port(), "OPTIONS", "/c", std::string(mine) + "Access-Control-Request-Method: GET\r\n");
  CHECK(answer.header("Access-Control-Max-Age") == "5");
  CHECK(answer.header("Access-Control-Allow-Origin") == "*");
}
