#include <string>
#include <string_view>
#include <vector>

#include <downlink/wire/request_parser.hpp>

#include "support/catch.hpp"
#include "wire/read_requests.hpp"

using downlink::RequestLimits;
using downlink::testing::read;

TEST_CASE("fields that are those of the last request do not keep a target from being judged", "[wire][RFC9112-3.2]") {
  const auto request = [](std::string_view target) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  const std::string first = request("/");
  const auto alone = [&](std::string_view target) { return read(request(target)); };
  std::vector<std::string> targets{"/a",          "//",          "/?<>\"`{|}^[]\\~", "/%zz",       "http://h/",
                                   "http:///",    "http://'b?x", "http://h'/",       "http://h^/", "http://[::1]/",
                                   "http://h:x/", "http://a@b/", "1http://h",        "h1://h/",    "*"};
  for (char c = '!'; c <= '~'; ++c) {
    targets.push_back(std::string("/") + c);
    targets.push_back(std::string("/?") + c);
  }
  for (const auto& target : targets) {
    INFO(target);
    CHECK(read(first + request(target)) == "GET / 1.1\nHost=h\nbody[]\n" + alone(target));
  }
}

TEST_CASE("a request whose fields are those of the one before is read as it would be by itself", "[wire][RFC9112-5]") {
  const std::vector<std::string> lines{"GET / HTTP/1.1",
                                       "GET /a?cursor=1-2 HTTP/1.1",
                                       "GET /a?cursor=1-31 HTTP/1.1",
                                       "GET / HTTP/1.0",
                                       "HEAD / HTTP/1.1",
                                       "GET http://h/b HTTP/1.1",
                                       "CONNECT h:1 HTTP/1.1",
                                       "GET /a b HTTP/1.1",
                                       "GET /\x01 HTTP/1.1",
                                       "OPTIONS * HTTP/1.1",
                                       "get / HTTP/1.1",
                                       "GET / HTTP/1.9",
                                       "GET / HTTP/2.0",
                                       "GET /#a HTTP/1.1",
                                       "",
                                       "GET /" + std::string(150, 'a') + " HTTP/1.1"};
  const std::vector<std::string> fields{"Host: h\r\n",
                                        "Host: h\r\nEmpty:\r\nPrefer:\t wait=5 \r\nAuthorization: Bearer x\r\n",
                                        "Host: h\r\nContent-Length: 0\r\n",
                                        "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
                                        "Host: h\r\nX: a\r\n b\r\n",
                                        ""};
  const RequestLimits limits{.max_head = 200};
  for (const auto& first : lines) {
    for (const auto& second : lines) {
      for (const auto& some : fields) {
        const std::string before = first + "\r\n" + some + "\r\n";
        const auto seen = read(before, limits);
        if (!seen.ends_with("idle")) continue;
        const std::string after = second + "\r\n" + some + "\r\n";
        CAPTURE(before, after);
        CHECK(read(before + after, limits) == seen.substr(0, seen.size() - 4) + read(after, limits));
        CHECK(read(before + after + "rest", limits) == seen.substr(0, seen.size() - 4) + read(after + "rest", limits));
      }
    }
  }
}

TEST_CASE("a request with a field more or less than the one before has its own", "[wire][RFC9112-5]") {
  const std::string first = "GET /1 HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n";
  const std::string head = "GET /1 1.1\nHost=h\nA=1\nbody[]\n";
  CHECK(read(first + "GET /22 HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n") ==
        head + "GET /22 1.1\nHost=h\nA=1\nB=2\nbody[]\nidle");
  CHECK(read(first + "GET /22 HTTP/1.1\r\nHost: h\r\n\r\n") == head + "GET /22 1.1\nHost=h\nbody[]\nidle");
  CHECK(read(first + "GET /22 HTTP/1.1\r\nHost: h\r\nA: 2\r\n\r\n") == head + "GET /22 1.1\nHost=h\nA=2\nbody[]\nidle");
  CHECK(read(first + "POST /22 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" + first) ==
        head + "POST /22 1.1\nHost=h\nContent-Length=1\nbody[x]\n" + head + "idle");
}
