#include "downlink/wire/request_parser.hpp"

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "wire/read_requests.hpp"

using downlink::RequestHead;
using downlink::RequestLimits;
using downlink::testing::read;
using downlink::wire::RequestParser;
using State = RequestParser::State;
using namespace std::string_literals;

namespace {

std::string get(std::string_view headers, std::string_view version = "1.1") {
  return "GET / HTTP/" + std::string{version} + "\r\nHost: h\r\n" + std::string{headers} + "\r\n";
}

std::string chunked(std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string{body};
}

constexpr std::string_view chunked_head = "POST / 1.1\nHost=h\nTransfer-Encoding=chunked\n";

}  // namespace

TEST_CASE("a request's head comes out as it went in, however it is cut", "[wire][RFC9112-2]") {
  CHECK(
      read("GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nX-Empty:\r\nX-Spaces: \t a  b \t\r\nx-Text: \xC3\xA9\r\n"
           "\r\n") ==
      "GET /a/b?c=d 1.1\nHost=example.com:8080\nX-Empty=\nX-Spaces=a  b\nx-Text=\xC3\xA9\nbody[]\nidle");
}

TEST_CASE("a parser without a request's whole head is unfinished, and one without a byte is idle", "[wire]") {
  CHECK(read("") == "idle");
  CHECK(read("G") == "unfinished");
  CHECK(read("GET / HTTP/1.1\r\nHost: h\r\n\r") == "unfinished");
}

TEST_CASE("feed stops right after the head and right after the request", "[wire]") {
  const std::string first = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
  const std::string bytes = first + "abcGET";
  RequestParser parser{RequestLimits{}};
  CHECK_FALSE(parser.started());
  CHECK(parser.feed(bytes) == first.size());
  CHECK(parser.started());
  REQUIRE(parser.state() == State::head_complete);
  CHECK(parser.head().has_body());
  CHECK(parser.feed("ab") == 2);
  CHECK(parser.state() == State::body);
  CHECK(parser.feed("cGET") == 1);
  CHECK(parser.state() == State::complete);
  CHECK(parser.body() == "abc");
  CHECK(parser.feed("GET") == 0);
  const RequestHead head = parser.take_head();
  CHECK(head.method() == "POST");
  CHECK(parser.head().method().empty());
  parser.reset();
  CHECK(parser.state() == State::head);
  CHECK(parser.body().empty());
  CHECK_FALSE(parser.started());
}

TEST_CASE("a request without a body is complete at the next feed, even an empty one", "[wire]") {
  RequestParser parser{RequestLimits{}};
  parser.feed(get(""));
  REQUIRE(parser.state() == State::head_complete);
  CHECK(parser.feed("") == 0);
  CHECK(parser.state() == State::complete);
}

TEST_CASE("pipelined requests come one after the other", "[wire][RFC9112-9.3.2]") {
  CHECK(read(get("") + "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi" + chunked("3\r\nabc\r\n0\r\n\r\n") +
             get("", "1.0") + "GE") == "GET / 1.1\nHost=h\nbody[]\nPOST /p 1.1\nHost=h\nContent-Length=2\nbody[hi]\n" +
                                           std::string{chunked_head} +
                                           "body[abc]\nGET / 1.0\nHost=h\nbody[]\nunfinished");
}

TEST_CASE("a few empty lines before a request are passed over and do not begin one", "[wire][RFC9112-2.2]") {
  CHECK(read("\r\n\r\n" + get("")) == "GET / 1.1\nHost=h\nbody[]\nidle");
  CHECK(read("\r\n") == "idle");
  CHECK(read("\r") == "idle");
  CHECK(read("\r\n\r\n\r\n\r\n\r\n" + get("")) == "400");
  CHECK(read("\n" + get("")) == "400");
  CHECK(read("\rGET / HTTP/1.1\r\n") == "400");
}

TEST_CASE("an upgrade without a body leaves what follows the head to the next protocol", "[wire][RFC6455-4.2]") {
  const auto head = get("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  RequestParser parser{RequestLimits{}};
  CHECK(parser.feed(head + "\x81\x01z") == head.size());
  REQUIRE(parser.state() == State::head_complete);
  CHECK(parser.head().is_websocket_upgrade());
  CHECK(parser.feed("\x81\x01z") == 0);
  CHECK(parser.state() == State::complete);
}

TEST_CASE("an upgrade with a body is a request with a body, for the caller to refuse", "[wire][WIRE-5]") {
  const auto upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"s;
  for (const auto* framing :
       {"Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 9999999999\r\n"}) {
    RequestParser parser{RequestLimits{}};
    parser.feed(get(upgrade + framing));
    REQUIRE(parser.state() == State::head_complete);
    CHECK(parser.head().has_body());
  }
  CHECK(read(get(upgrade + "Content-Length: 4\r\n") + "bodyGE") ==
        "GET / 1.1\nHost=h\nConnection=Upgrade\nUpgrade=websocket\nContent-Length=4\nbody[body]\nunfinished");
}

TEST_CASE("an upgrade to another protocol is a plain request", "[wire][RFC9110-7.8]") {
  CHECK(read(get("Connection: Upgrade\r\nUpgrade: h2c\r\n") + get("")) ==
        "GET / 1.1\nHost=h\nConnection=Upgrade\nUpgrade=h2c\nbody[]\nGET / 1.1\nHost=h\nbody[]\nidle");
}

TEST_CASE("every method that llhttp knows is known", "[wire]") {
#define DOWNLINK_CHECK_METHOD(number, name, text) CHECK(RequestHead(#text, "/").method_known());
  HTTP_METHOD_MAP(DOWNLINK_CHECK_METHOD)
#undef DOWNLINK_CHECK_METHOD
}

TEST_CASE("an unknown method that is a token is taken like any other, for the caller to answer with 501",
          "[wire][WIRE-8][RFC9110-9.1]") {
  CHECK(read("BREW /pot HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi") ==
        "BREW /pot 1.1\nHost=h\nContent-Length=2\nbody[hi]\nidle");
  CHECK(read("get / HTTP/1.1\r\nHost: h\r\n\r\n") == "get / 1.1\nHost=h\nbody[]\nidle");
  CHECK_FALSE(RequestHead("BREW", "/").method_known());
  CHECK_FALSE(RequestHead("get", "/").method_known());
}

TEST_CASE("a method longer than any is refused with 501", "[wire][RFC9112-3]") {
  CHECK(read(std::string(64, 'A') + " / HTTP/1.1\r\nHost: h\r\n\r\n") != "501");
  CHECK(read(std::string(65, 'A') + " / HTTP/1.1\r\nHost: h\r\n\r\n") == "501");
  CHECK(read(std::string(20000, 'A')) == "501");
}

TEST_CASE("a malformed request line is refused with 400", "[wire][WIRE-8][RFC9112-3]") {
  const auto* line = GENERATE("GET", "GET /", "GET / ", " GET / HTTP/1.1", "GET  / HTTP/1.1", "GET /  HTTP/1.1",
                              "GET / HTTP/1.1 ", "GET /a b HTTP/1.1", "GET\t/ HTTP/1.1", "G(T / HTTP/1.1", "GET / x",
                              "/ GET HTTP/1.1", ": / HTTP/1.1", "GET HTTP/1.1");
  CAPTURE(line);
  CHECK(read(line + "\r\nHost: h\r\n\r\n"s) == "400");
}

TEST_CASE("a malformed version is refused with 400", "[wire][WIRE-8][RFC9112-2.3]") {
  const auto* version = GENERATE("HTTP/1", "HTTP/1.", "HTTP/1.x", "HTTP/11.1", "HTTP/1.10", "http/1.1", "HTTP/1,1",
                                 "HTTPS/1.1", "ICE/1.0", "RTSP/1.0", "HTTP/ 1.1", "HTTP/+1.1", "HTTP-1.1");
  CAPTURE(version);
  CHECK(read("GET / "s + version + "\r\nHost: h\r\n\r\n") == "400");
}

TEST_CASE("a version other than 1.x is refused with 505, HTTP/2's preface too", "[wire][WIRE-8][RFC9110-15.6.6]") {
  CHECK(read("GET / HTTP/2.0\r\nHost: h\r\n\r\n") == "505");
  CHECK(read("GET / HTTP/0.9\r\n\r\n") == "505");
  CHECK(read("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == "505");
}

TEST_CASE("a minor version past 1 is treated as 1", "[wire][RFC9110-2.5]") {
  CHECK(read("GET / HTTP/1.7\r\nHost: h\r\n\r\n") == "GET / 1.7\nHost=h\nbody[]\nidle");
}

TEST_CASE("the target may have any of the four forms", "[wire][RFC9112-3.2]") {
  CHECK(read("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("OPTIONS * 1.1\n"));
  CHECK(read("GET http://h:80/p?q HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("GET http://h:80/p?q 1.1\n"));
  CHECK(read("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("GET http://h 1.1\n"));
  CHECK(read("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("CONNECT h:443 1.1\n"));
  CHECK(read("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("CONNECT / 1.1\n"));
  CHECK(read("GET /?u=http://x/ HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("GET /?u=http://x/ 1.1\n"));
}

TEST_CASE("a target of no form is refused with 400", "[wire][WIRE-8][RFC9112-3.2]") {
  const auto* target = GENERATE("*", "a", "h:443", "?q", "/a#b", "/\xC3\xA9", "http:///p", "http://u@h/",
                                "http://h\\x/", "://h/", "ht!p://h/");
  CAPTURE(target);
  CHECK(read("GET "s + target + " HTTP/1.1\r\nHost: h\r\n\r\n") == "400");
}

TEST_CASE("a target over the limit is refused with 414", "[wire][WIRE-8][RFC9112-3]") {
  const auto request = [](std::size_t size) {
    return "GET /" + std::string(size - 1, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  CHECK(read(request(8192)).ends_with("idle"));
  CHECK(read(request(8193)) == "414");
  CHECK(read(request(30000)) == "414");
  CHECK(read("GET /" + std::string(8400, 'a')) == "414");
}

TEST_CASE("a header over the limit is refused with 431", "[wire][WIRE-8][RFC6585-5]") {
  const auto request = [](std::size_t size) { return get("X:" + std::string(size - 2, 'a') + "\r\n"); };
  CHECK(read(request(8192)).ends_with("idle"));
  CHECK(read(request(8193)) == "431");
  CHECK(read(get(std::string(9000, 'n'))) == "431");
}

TEST_CASE("a head over the limit is refused with 431", "[wire][WIRE-8][RFC6585-5]") {
  const auto request = [](std::size_t size) {
    std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
    while (size - head.size() - 2 > 8000) head += "A:" + std::string(7000, 'a') + "\r\n";
    head += "B:" + std::string(size - head.size() - 6, 'b') + "\r\n\r\n";
    CHECK(head.size() == size);
    return head;
  };
  CHECK(read(request(32768)).ends_with("idle"));
  CHECK(read(request(32769)) == "431");
  CHECK(read(request(32771)) == "431");
  CHECK(read(request(40000)) == "431");
}

TEST_CASE("too many headers are refused with 431", "[wire][WIRE-8]") {
  std::string headers;
  for (int i = 0; i < 1999; ++i) headers += "A: b\r\n";
  CHECK(read(get(headers)).ends_with("idle"));
  CHECK(read(get(headers + "A: b\r\n")) == "431");
}

TEST_CASE("of a refused head the method and the fields before the fault are there for the answer", "[wire][WIRE-8]") {
  const auto refused = [](std::string_view bytes) {
    downlink::wire::RequestParser parser{{}};
    for (const char byte : bytes) parser.feed({&byte, 1});
    const auto head = parser.take_head();
    std::string text(head.method());
    for (const auto field : head.headers()) text += "|" + std::string(field.name) + "=" + std::string(field.value);
    return text;
  };
  const std::string begin = "GET / HTTP/1.1\r\nHost: h\r\nOrigin:  http://o \r\nEmpty:\r\n";
  const std::string fields = "GET|Host=h|Origin=http://o|Empty=";
  CHECK(refused(begin + "bad header: x\r\n") == fields);
  CHECK(refused(begin + "Long: " + std::string(9000, 'x')) == fields);
  CHECK(refused(begin + "Transfer-Encoding: gzip\r\n\r\n") == fields + "|Transfer-Encoding=gzip");
  CHECK(refused(begin + "Host: again\r\n\r\n") == fields + "|Host=again");
  CHECK(refused(begin + "Unfinis") == fields);
  CHECK(refused("HEAD / HTTP/2.0\r\n") == "HEAD");
  CHECK(refused("HEAD /#a HTTP/1.1\r\n") == "HEAD");
  CHECK(refused("HEAD / HTTP/1.1 \r\n") == "HEAD");
  CHECK(refused("HEAD\r\n") == "HEAD");
  CHECK(refused("\r\nHEAD /" + std::string(8192, 'a') + " HTTP/1.1\r\n") == "HEAD");
  CHECK(refused("HEAD /" + std::string(9000, 'a')) == "HEAD");
  CHECK(refused("HE@D / HTTP/1.1\r\n").empty());
  CHECK(refused(std::string(65, 'A') + " / HTTP/1.1\r\n").empty());
  CHECK(refused("GET / HT").empty());
  CHECK(refused("").empty());
}

TEST_CASE("a space before the colon is refused with 400", "[wire][WIRE-8][RFC9112-5.1]") {
  CHECK(read(get("X : a\r\n")) == "400");
  CHECK(read(get("X\t: a\r\n")) == "400");
  CHECK(read(get("Content-Length : 0\r\n")) == "400");
}

TEST_CASE("a folded header is refused with 400", "[wire][WIRE-8][RFC9112-5.2]") {
  CHECK(read(get("X: a\r\n b\r\n")) == "400");
  CHECK(read(get("X: a\r\n\tb\r\n")) == "400");
  CHECK(read(get("X:\r\n \r\n")) == "400");
  CHECK(read("GET / HTTP/1.1\r\n Host: h\r\n\r\n") == "400");
}

TEST_CASE("a bare LF or CR in the head is refused with 400", "[wire][WIRE-8][RFC9112-2.2]") {
  CHECK(read("GET / HTTP/1.1\nHost: h\r\n\r\n") == "400");
  CHECK(read("GET / HTTP/1.1\r\nHost: h\n\r\n") == "400");
  CHECK(read("GET / HTTP/1.1\r\nHost: h\r\n\n") == "400");
  CHECK(read("GET / HTTP/1.1\rHost: h\r\n\r\n") == "400");
  CHECK(read(get("X: a\rb\r\n")) == "400");
  CHECK(read(get("X: a\r\r\n")) == "400");
  CHECK(read(get("X: a\nContent-Length: 3\r\n")) == "400");
  CHECK(read(get("X:\rA: b\r\n")) == "400");
  CHECK(read(get("\rX: b\r\n")) == "400");
}

TEST_CASE("a control character in the head is refused with 400", "[wire][WIRE-8][RFC9110-5.5]") {
  for (int c = 0; c < 0x20; ++c) {
    if (c == '\t') continue;
    CAPTURE(c);
    CHECK(read(get("X: a" + std::string(1, static_cast<char>(c)) + "b\r\n")) == "400");
    CHECK(read("GET /" + std::string(1, static_cast<char>(c)) + " HTTP/1.1\r\nHost: h\r\n\r\n") == "400");
  }
  CHECK(read(get("X: a\x7F\r\n")) == "400");
  CHECK(read("\x16\x03\x01") == "400");
}

TEST_CASE("a header line without a name or colon, or with another name than a token, is refused with 400",
          "[wire][WIRE-8][RFC9112-5]") {
  const auto* line = GENERATE(": a", "X", "X a: b", "X(: a", "X\xC3\xA9: a", "\"X\": a", "X@: a", "X,Y: a");
  CAPTURE(line);
  CHECK(read(get(line + "\r\n"s)) == "400");
}

TEST_CASE("a missing, repeated or malformed Host is refused with 400", "[wire][WIRE-8][RFC9112-3.2]") {
  CHECK(read("GET / HTTP/1.1\r\n\r\n") == "400");
  CHECK(read(get("Host: h\r\n")) == "400");
  CHECK(read(get("hOST: other\r\n")) == "400");
  CHECK(read(get("Host: h\r\n", "1.0")) == "400");
  for (const auto* host : {"a b", "a/b",  "u@h", "h:x",    "h:123456", "[::1",  "::1",  "h?",    "%zz",    "h%4",
                           "h%",  "[zz]", "[]",  "[::1]x", "[12]",     "[v.a]", "[v1]", "[v1.]", "[vx.a]", "[::%31]"}) {
    CAPTURE(host);
    CHECK(read("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n") == "400");
  }
  for (const auto* host : {"", "h", "h:", "h:8080", "[::1]", "[::1]:80", "127.0.0.1", "a_b.example",
                           "gr%C3%BCn.example:1", "[::ffff:127.0.0.1]", "[2001:DB8::a]:80", "[v1F.a:b]"}) {
    CAPTURE(host);
    CHECK(read("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n").ends_with("idle"));
  }
  CHECK(read("GET / HTTP/1.0\r\n\r\n") == "GET / 1.0\nbody[]\nidle");
}

TEST_CASE("both Content-Length and Transfer-Encoding are refused with 400", "[wire][WIRE-8][RFC9112-6.1]") {
  CHECK(read(get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")) == "400");
  CHECK(read(get("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")) == "400");
  CHECK(read(get("Transfer-Encoding: gzip\r\nContent-Length: 0\r\n")) == "400");
}

TEST_CASE("a repeated Content-Length is refused with 400, an equal one too", "[wire][WIRE-8][RFC9112-6.3]") {
  CHECK(read(get("Content-Length: 3\r\nContent-Length: 3\r\n")) == "400");
  CHECK(read(get("Content-Length: 3\r\nContent-length: 4\r\n")) == "400");
  CHECK(read(get("Content-Length: 3, 3\r\n")) == "400");
}

TEST_CASE("a Content-Length that is no number is refused with 400", "[wire][WIRE-8][RFC9112-6.3]") {
  const auto* value =
      GENERATE("", "+3", "-3", "3x", "0x3", "3.0", "1 2", "99999999999999999999", "18446744073709551617");
  CAPTURE(value);
  CHECK(read(get("Content-Length: "s + value + "\r\n")) == "400");
}

TEST_CASE("whitespace around a Content-Length is no part of it", "[wire][RFC9110-5.5]") {
  CHECK(read(get("Content-Length: \t 2 \t\r\n") + "hi").ends_with("body[hi]\nidle"));
  CHECK(read(get("Content-Length:2\r\n") + "hi").ends_with("body[hi]\nidle"));
  CHECK(read(get("Content-Length: 0\r\n")).ends_with("body[]\nidle"));
}

TEST_CASE("a transfer coding other than chunked alone is refused with 501", "[wire][WIRE-8][RFC9112-6.1]") {
  const auto* value = GENERATE("gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "",
                               "chunked;q=1", "xchunked", "chunkedx", "\"chunked\"", "chunked,", ",chunked");
  CAPTURE(value);
  CHECK(read(get("Transfer-Encoding: "s + value + "\r\n")) == "501");
  CHECK(read(get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")) == "501");
  CHECK(read(get("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n")) == "501");
}

TEST_CASE("chunked is a transfer coding in any case and with whitespace around it", "[wire][RFC9112-7]") {
  CHECK(read(get("Transfer-Encoding: \t CHUNKED \t\r\n") + "1\r\na\r\n0\r\n\r\n").ends_with("body[a]\nidle"));
}

TEST_CASE("a Transfer-Encoding in HTTP/1.0 is refused with 400", "[wire][RFC9112-6.1]") {
  CHECK(read(get("Transfer-Encoding: chunked\r\n", "1.0")) == "400");
}

TEST_CASE("a body over the limit is refused with 413 before it comes", "[wire][WIRE-8][RFC9110-15.5.14]") {
  const RequestLimits limits{.max_body = 10};
  CHECK(read(get("Content-Length: 10\r\n") + "0123456789", limits).ends_with("body[0123456789]\nidle"));
  CHECK(read(get("Content-Length: 11\r\n"), limits) == "413");
  CHECK(read(get("Content-Length: 1048577\r\n")) == "413");
  CHECK(read(get("Content-Length: 9999999999999999999\r\n")) == "413");
  RequestParser parser{limits};
  parser.feed(get("Origin: http://o\r\nContent-Length: 11\r\n"));
  CHECK(parser.head().header("origin") == "http://o");
}

TEST_CASE("a chunked body over the limit is refused with 413 with the chunk that exceeds it",
          "[wire][WIRE-8][RFC9110-15.5.14]") {
  const RequestLimits limits{.max_body = 10};
  const std::string head{chunked_head};
  CHECK(read(chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), limits) == head + "body[0123456789]\nidle");
  CHECK(read(chunked("5\r\n01234\r\n6\r\n"), limits) == head + "413");
  CHECK(read(chunked("b\r\n"), limits) == head + "413");
  CHECK(read(chunked("ffffffffffffffff\r\n"), limits) == head + "413");
}

TEST_CASE("chunks join to the body, and trailers are dropped", "[wire][RFC9112-7.1]") {
  const std::string head{chunked_head};
  CHECK(read(chunked("0\r\n\r\n")) == head + "body[]\nidle");
  CHECK(read(chunked("A\r\n0123456789\r\n00001\r\nx\r\n000\r\n\r\n")) == head + "body[0123456789x]\nidle");
  CHECK(read(chunked("2\r\n\r\n\r\n0\r\n\r\n")) == head + "body[\r\n]\nidle");
  CHECK(read(chunked("1\r\na\r\n0\r\nX-Sum: 1\r\nHost: x\r\nContent-Length: 5\r\n\r\n") + "GE") ==
        head + "body[a]\nunfinished");
}

TEST_CASE("chunk extensions are passed over", "[wire][RFC9112-7.1.1]") {
  const auto* extension =
      GENERATE(";a", ";a=b", " ; a = b", ";a=\"b;\\\"c\"", ";a;b=c", "\t;\ta\t=\t\"\"", ";a=\"\xC3\xA9 \"");
  CAPTURE(extension);
  CHECK(read(chunked("1"s + extension + "\r\nz\r\n0" + extension + "\r\n\r\n")) ==
        std::string{chunked_head} + "body[z]\nidle");
}

TEST_CASE("malformed chunks are refused with 400", "[wire][WIRE-8][RFC9112-7.1]") {
  const auto body = GENERATE("\r\n"s, "x\r\n"s, "-1\r\n"s, "+1\r\n"s, "0x1\r\na\r\n"s, " 1\r\na\r\n"s, "1 \r\na\r\n"s,
                             "1\t\r\na\r\n"s, "1\na\r\n"s, "1\r\naX\r\n"s, "1\r\na\n"s, "1\r\na\rX"s,
                             "1\r\na0\r\n\r\n"s, "1;\r\na\r\n"s, "1;a=\r\na\r\n"s, "1;a=\"b\r\na\r\n"s,
                             "1;a \r\na\r\n"s, "1;a\n\r\na\r\n"s, "1;a\rb\r\na\r\n"s, "1;\0\r\na\r\n"s, "1 a\r\na\r\n"s,
                             "1,1\r\na\r\n"s, "1;a b\r\na\r\n"s, "10000000000000001\r\n"s,
                             "00000000000000001\r\na\r\n"s, "0\r\n\n"s, "0\r\nX\r\n\r\n"s, "0\r\nX : a\r\n\r\n"s,
                             "0\r\nX: a\r\n b\r\n\r\n"s, "0\r\nX: a\n\r\n"s, "0\r\n\rX"s, "1;a=\"\\\r\na\r\n"s);
  CAPTURE(body);
  CHECK(read(chunked(body)) == std::string{chunked_head} + "400");
}

TEST_CASE("chunk extensions and trailers are bounded", "[wire][WIRE-8]") {
  const std::string head{chunked_head};
  const auto repeat = [](const std::string& text, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += text;
    return all;
  };
  CHECK(read(chunked("1;" + std::string(9000, 'a'))) == head + "431");
  CHECK(read(chunked(repeat("1;" + std::string(1000, 'a') + "\r\nz\r\n", 40))) == head + "431");
  CHECK(read(chunked("0\r\nX:" + std::string(9000, 'a'))) == head + "431");
  CHECK(read(chunked("0\r\n" + repeat("X:" + std::string(1000, 'a') + "\r\n", 40))) == head + "431");
}

TEST_CASE("no bytes whatever break the parser, and no cut changes what it reads", "[wire][fuzz]") {
  std::mt19937 random{20};
  const std::vector<std::string> seeds{get("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
                                       chunked("3;a=b\r\nabc\r\n0\r\nT: u\r\n\r\n"),
                                       get("Content-Length: 5\r\n") + "hello", "\r\nOPTIONS * HTTP/1.0\r\n\r\n",
                                       "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"};
  const std::string_view spice = "\r\n\t :;,\0/?%.0159HhTt\x7F\xFF";
  for (int round = 0; round < 400; ++round) {
    std::string bytes = seeds[random() % seeds.size()] + seeds[random() % seeds.size()];
    for (unsigned i = random() % 4; i > 0; --i) {
      const std::size_t at = random() % bytes.size();
      if (random() % 2 == 0) {
        bytes[at] = spice[random() % spice.size()];
      } else {
        bytes.erase(at, 1 + random() % 3);
      }
    }
    CAPTURE(bytes);
    read(bytes);
  }
}
