#include "conformance/hub.hpp"

using namespace downlink::testing;

namespace {

std::string chunked(const std::string& body, std::size_t size) {
  std::string out;
  for (std::size_t at = 0; at < body.size(); at += size) {
    const auto chunk = body.substr(at, size);
    char line[32];
    std::snprintf(line, sizeof line, "%zx\r\n", chunk.size());
    out += line + chunk + "\r\n";
  }
  return out + "0\r\n\r\n";
}

// A POST without a body whose head has exactly that size, in headers of at most `largest` bytes.
std::string head_of(std::size_t size, std::size_t largest) {
  std::string head = "POST /channels/c HTTP/1.1\r\nHost: localhost\r\n";
  while (head.size() + 2 < size) {
    const auto left = size - head.size() - 2;
    // What is left behind a line is none, or enough for another one.
    const auto line = left <= largest + 2 ? left : std::min(largest + 2, left - 8);
    head += "A: " + std::string(line - 5, 'a') + "\r\n";
  }
  return head + "\r\n";
}

}  // namespace

TEST_CASE("a target of 8192 bytes is taken, a longer one is 414", "[conformance][WIRE-8]") {
  Hub hub;
  const auto with_target = [](std::size_t size) {
    std::string target = "/channels/c?x=";
    target.resize(size, 'x');
    return "POST " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
  };
  hub.takes(with_target(8191), 202, {"x"});
  hub.takes(with_target(8192), 202, {"x"});
  hub.refuses(with_target(8193), 414);
  hub.refuses(with_target(100'000), 414);
  // It need not end.
  hub.refuses("POST /" + std::string(200'000, 'x'), 414);
  hub.refuses(std::string(200, 'X') + " / HTTP/1.1\r\nHost: h\r\n\r\n", 501);
}

TEST_CASE("a header of 8192 bytes is taken, a longer one is 431", "[conformance][WIRE-8]") {
  Hub hub;
  const auto with_header = [](std::size_t size) {
    return post_with("Content-Length: 1\r\nA: " + std::string(size - 3, 'a') + "\r\n", "x");
  };
  hub.takes(with_header(8191), 202, {"x"});
  hub.takes(with_header(8192), 202, {"x"});
  hub.refuses(with_header(8193), 431);
  hub.refuses(with_header(100'000), 431);
  hub.refuses(post_with(std::string(8193, 'A') + ": x\r\n"), 431);
}

TEST_CASE("a head of 32768 bytes is taken, a longer one is 431", "[conformance][WIRE-8]") {
  Hub hub;
  for (const std::size_t largest : {400u, 1000u, 8192u}) {
    CAPTURE(largest);
    REQUIRE(head_of(32768, largest).size() == 32768);
    hub.takes(head_of(32767, largest), 202, {""});
    hub.takes(head_of(32768, largest), 202, {""});
    hub.refuses(head_of(32769, largest), 431);
    hub.refuses(head_of(200'000, largest), 431);
  }
  std::string many;
  for (int i = 0; i < 50'000; ++i) many += "A:\r\n";
  hub.refuses(post_with(many), 431);
}

TEST_CASE("a body at the limit is taken, one byte more is 413, however it is framed", "[conformance][WIRE-8]") {
  Hub hub({"--max-message", "100000", "--max-lag", "67108864"});
  const std::string at(100'000, 'x');
  const auto over = at + 'x';
  const auto by_length = [](const std::string& body) {
    return post_with("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  };
  const auto by_chunks = [](const std::string& body, std::size_t size) {
    return post_with("Transfer-Encoding: chunked\r\n", chunked(body, size));
  };
  hub.takes(by_length(at), 202, {at});
  hub.refuses(by_length(over), 413);
  for (const std::size_t size : {1u, 100u, 65536u, 100'000u}) {
    CAPTURE(size);
    hub.takes(by_chunks(at, size), 202, {at});
    hub.refuses(by_chunks(over, size), 413);
  }
  hub.refuses(by_chunks(over, over.size()), 413);
}

TEST_CASE("a client that goes on sending after a refusal reads the answer", "[conformance][WIRE-8]") {
  Hub hub;
  for (const auto& [refused, status] :
       {std::pair<std::string, int>{"BAD\r\n\r\n", 400},
        {post_with("Content-Length: 104857600\r\n"), 413},
        {post_with("Transfer-Encoding: chunked\r\n", "6400000\r\n"), 413},
        {post_with("Transfer-Encoding: gzip\r\n"), 501},
        {"PUT /channels/c HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n", 405},
        {"POST /channels/%00x HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n", 413},
        {"GET /nowhere HTTP/2.0\r\n\r\n", 505}}) {
    for (const std::size_t mebibytes : {std::size_t{1}, std::size_t{8}}) {
      CAPTURE(refused, mebibytes);
      auto client = hub.connect();
      client.send(refused);
      // All of it before a single byte is read.
      client.send(std::string(mebibytes << 20, 'x'));
      CHECK(client.read_response().status == status);
      CHECK(client.read_to_end().empty());
      CHECK(client.wait_for_end(std::chrono::seconds{5}) == Connection::End::closed);
    }
  }
}

TEST_CASE("Expect: 100-continue is answered, another expectation is passed over", "[conformance][RFC9110-10.1.1]") {
  Hub hub;
  const std::string expect = "Expect: 100-continue\r\nContent-Length: 2\r\n";
  auto client = hub.connect();
  client.send(post_with(expect));
  CHECK(client.read_response().status == 100);
  client.send("ok");
  CHECK(client.read_response().status == 202);
  // A client that did not wait is not answered in between.
  hub.takes(post_with(expect, "ok"), 202, {"ok"});
  for (const std::string other : {"Expect: 200-ok\r\n", "Expect: x=y; z\r\n", "Expect:\r\n"}) {
    hub.takes(post_with(other + "Content-Length: 2\r\n", "ok"), 202, {"ok"});
  }
  // HTTP/1.0 knows no interim answers, and a refused body is not asked for.
  auto old = hub.connect();
  old.send("POST /channels/c HTTP/1.0\r\n" + expect + "\r\n");
  old.send("ok");
  CHECK(old.read_response().status == 202);
  hub.refuses(post_with("Expect: 100-continue\r\nContent-Length: 2000000\r\n"), 413);
  auto refused = hub.connect();
  refused.send("PUT /channels/c HTTP/1.1\r\nHost: h\r\n" + expect + "\r\n");
  CHECK(refused.read_response().status == 405);
}

TEST_CASE("each method is answered as WIRE says", "[conformance][WIRE-8]") {
  Hub hub;
  for (const std::string method : {"PUT", "DELETE", "PATCH", "TRACE", "QUERY", "PROPFIND", "SUBSCRIBE"}) {
    CAPTURE(method);
    const auto answer = request(hub.port(), method, "/channels/c");
    Hub::check_problem(answer, 405);
    for (const auto* allowed : {"GET", "HEAD", "POST", "OPTIONS"}) CHECK(answer.lists("Allow", allowed));
    const auto page = request(hub.port(), method, "/healthz");
    CHECK(page.status == 405);
    CHECK(page.lists("Allow", "GET"));
    CHECK(request(hub.port(), method, "/nowhere").status == 404);
  }
  for (const std::string method : {"FOO", "get", "Post", "GETX", "X-Y", "!#$%&'*+-.^_`|~1"}) {
    CAPTURE(method);
    for (const auto* target : {"/channels/c", "/healthz", "/nowhere"}) {
      Hub::check_problem(request(hub.port(), method, target), 501);
    }
  }
  const auto options = request(hub.port(), "OPTIONS", "/channels/c");
  CHECK(options.status == 204);
  CHECK(options.count("Content-Length") == 0);
  for (const auto* allowed : {"GET", "HEAD", "POST", "OPTIONS"}) CHECK(options.lists("Allow", allowed));
  for (const auto* target : {"/channels/c", "/healthz", "/", "/nowhere", "/metrics", "/channels/%"}) {
    CAPTURE(target);
    auto client = hub.connect();
    client.send(request_text("HEAD", target) + request_text("GET", target));
    const auto head = client.read_response(true);
    const auto whole = client.read_response();
    CHECK(head.status == whole.status);
    CHECK(head.header("Content-Type") == whole.header("Content-Type"));
    if (std::string_view(target) != "/metrics") CHECK(head.header("Content-Length") == whole.header("Content-Length"));
  }
}
