#include "conformance/hub.hpp"

using namespace downlink::testing;

namespace {

// A body in chunks; and what a reader that goes by its Content-Length of 4 would take for another request.
const std::string chunks = "5\r\nhello\r\n0\r\n\r\n";
const std::string hidden = "2a\r\nPOST /channels/c HTTP/1.1\r\nContent-Length: 9\r\n\r\n0\r\n\r\n";

std::string line(std::string_view text) { return std::string(text) + "\r\n"; }

}  // namespace

TEST_CASE("a request with both Content-Length and Transfer-Encoding is 400", "[conformance][WIRE-8][RFC9112-6.3]") {
  Hub hub;
  for (const auto& body : {chunks, hidden}) {
    for (const std::string length : {"4", "15", "0", "00", " 4 "}) {
      hub.refuses(post_with("Content-Length:" + length + "\r\nTransfer-Encoding: chunked\r\n", body), 400);
      hub.refuses(post_with("Transfer-Encoding: chunked\r\nContent-Length:" + length + "\r\n", body), 400);
      hub.refuses(post_with("transfer-encoding:\tchunked\t\r\nX: y\r\nCONTENT-LENGTH:" + length + "\r\n", body), 400);
    }
    hub.refuses(post_with("Content-Length: 4\r\nTransfer-Encoding: identity\r\n", body), 400);
    hub.refuses(post_with("Content-Length: 4\r\nTransfer-Encoding:\r\n", body), 400);
  }
}

TEST_CASE("a transfer coding that is not chunked alone is 501, whatever hides it",
          "[conformance][WIRE-8][RFC9112-6.1]") {
  Hub hub;
  for (const std::string value : {"xchunked",
                                  "chunkedx",
                                  "chunked, identity",
                                  "identity, chunked",
                                  "chunked, chunked",
                                  "identity",
                                  "gzip",
                                  "gzip, chunked",
                                  "chunked;q=1",
                                  "\"chunked\"",
                                  "chunked,",
                                  ",chunked",
                                  "chun ked",
                                  "chunked\tchunked",
                                  "",
                                  "c",
                                  "'chunked'",
                                  "chunked;",
                                  "cow",
                                  "chunked\xA0",
                                  "\xC5\xBF"}) {
    hub.refuses(post_with("Transfer-Encoding: " + value + "\r\n", chunks), 501);
  }
  hub.refuses(post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks), 501);
  hub.refuses(post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunks), 501);
  hub.refuses(post_with("Transfer-Encoding: identity\r\ntransfer-encoding: chunked\r\n", chunks), 501);
  hub.refuses(post_with("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", chunks), 501);
  for (const std::string bad :
       {"Transfer-Encoding: \x0b"
        "chunked",
        "Transfer-Encoding: chunked\x0c", "Transfer-Encoding: chunked\x7f", "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer-Encoding\x01: chunked",
        "\xEF\xBB\xBFTransfer-Encoding: chunked", "Transfer-Encoding", "Transfer Encoding: chunked",
        "Transfer-Encoding: chunked\r", "Transfer-Encoding: chunked\rX: y", "X: y\rTransfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked", "Transfer-Encoding:\n chunked", "Transfer-Encoding:\r\n chunked",
        "Foo: bar\r\n\r Transfer-Encoding: chunked"}) {
    hub.refuses(post_with(line(bad), chunks), 400);
    hub.refuses(post_with(line("Content-Length: 4") + line(bad), chunks), 400);
  }
  hub.refuses("POST /channels/c HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 400);
  // A header of another name is none.
  hub.takes(post_with("Transfer_Encoding: chunked\r\nContent-Length: 2\r\n", "ok"), 202, {"ok"});
  hub.takes(post_with("Transfer-Encoding:\t CHUNKED \r\n", chunks), 202, {"hello"});
}

TEST_CASE("a Content-Length that is repeated or no number is 400", "[conformance][WIRE-8][RFC9112-6.3]") {
  Hub hub;
  for (const std::string value : {"+5",
                                  "-1",
                                  "-0",
                                  "0x5",
                                  "5,5",
                                  "5, 5",
                                  "5 5",
                                  "5;",
                                  "5.0",
                                  "5e0",
                                  "",
                                  " ",
                                  "five",
                                  "\"5\"",
                                  "5\xA0",
                                  "0b1",
                                  "1_0",
                                  "9223372036854775808",
                                  "18446744073709551615",
                                  "18446744073709551616",
                                  "18446744073709551621",
                                  "99999999999999999999999999",
                                  "-18446744073709551611",
                                  "\xD9\xA5"}) {
    const bool only_large = value == "9223372036854775808";
    hub.refuses(post_with("Content-Length: " + value + "\r\n", "hello"), only_large ? 413 : 400);
  }
  hub.refuses(post_with("Content-Length: 9223372036854775807\r\n", "hello"), 413);
  hub.refuses(post_with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400);
  hub.refuses(post_with("Content-Length: 5\r\nContent-Length: 0\r\n", "hello"), 400);
  hub.refuses(post_with("Content-Length: 0\r\ncontent-length: 5\r\n", "hello"), 400);
  hub.refuses(post_with("Content-Length:\r\nContent-Length: 5\r\n", "hello"), 400);
  for (const std::string bad :
       {"Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5", "\tContent-Length: 5", "Content-Length: 5\r",
        "Content-Length:\r\n 5", "Content-Length: 5\r\n\t0", "Content-Length: \v5", "Content-Length",
        "X: y\n Content-Length: 5", "Content-Length: 5\nX: y"}) {
    hub.refuses(post_with(line(bad), "hello"), 400);
  }
  hub.refuses(post_with(std::string("Content-Length: 5\0\r\n", 20), "hello"), 400);
  hub.refuses(post_with(std::string("Content-Length\0: 5\r\n", 20), "hello"), 400);
  hub.takes(post_with("Content-Length: \t005 \r\n", "hello"), 202, {"hello"});
  hub.takes(post_with("Content_Length: 99\r\nContent-Length: 5\r\n", "hello"), 202, {"hello"});
  hub.takes(post_with("Content-Length: 0\r\n"), 202, {""});
  hub.takes(post_with(""), 202, {""});
}

TEST_CASE("a body belongs to its request whatever the method, and is never the next request",
          "[conformance][WIRE-8][RFC9110-9.3]") {
  Hub hub;
  const auto inner = Hub::behind();
  const auto length = "Content-Length: " + std::to_string(inner.size()) + "\r\n";
  const auto chunked = [&] {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", inner.size());
    return size + inner + "\r\n0\r\n\r\n";
  }();
  for (const std::string method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "FOO"}) {
    for (const std::string target : {"/channels/c", "/", "/nowhere", "/healthz"}) {
      for (const bool by_length : {true, false}) {
        for (const std::string more : {"", "Origin: http://a.example\r\nAccess-Control-Request-Method: POST\r\n"}) {
          CAPTURE(method, target, by_length, more);
          auto client = hub.connect();
          client.send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more +
                      (by_length ? length : "Transfer-Encoding: chunked\r\n") + "\r\n" + (by_length ? inner : chunked));
          client.half_close();
          const auto answer = client.read_response(method == "HEAD");
          CHECK(answer.status >= 200);
          CHECK(client.read_to_end().empty());
          CHECK(hub.published().empty());
        }
      }
    }
  }
}

TEST_CASE("a body in chunks is read exactly", "[conformance][RFC9112-7.1]") {
  Hub hub;
  const std::string te = "Transfer-Encoding: chunked\r\n";
  hub.takes(post_with(te, chunks), 202, {"hello"});
  hub.takes(post_with(te, "0\r\n\r\n"), 202, {""});
  hub.takes(post_with(te, "000\r\n\r\n"), 202, {""});
  hub.takes(post_with(te, "0000000000000005\r\nhello\r\n0\r\n\r\n"), 202, {"hello"});
  hub.takes(post_with(te, "a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n"), 202, {"0123456789abcdefghij"});
  hub.takes(post_with(te, "2\r\n\r\n\r\n0\r\n\r\n"), 202, {"\r\n"});
  hub.takes(post_with(te, "5;name=value;other;q=\"a;b\\\"\"\r\nhello\r\n0;last\r\n\r\n"), 202, {"hello"});
  hub.takes(post_with(te, "5\r\nhello\r\n0\r\nX-Trailer: yes\r\nContent-Length: 77\r\nTransfer-Encoding: x\r\n\r\n"),
            202, {"hello"});
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "1\r\nx\r\n";
  hub.takes(post_with(te, many + "0\r\n\r\n"), 202, {std::string(100'000, 'x')});
}

TEST_CASE("a malformed chunked body is 400", "[conformance][WIRE-8][RFC9112-7.1]") {
  Hub hub;
  for (const std::string bad : {"-5\r\nhello\r\n",
                                "+5\r\nhello\r\n",
                                "0x5\r\nhello\r\n",
                                "5_\r\nhello\r\n",
                                "1_0\r\nhello\r\n",
                                " 5\r\nhello\r\n",
                                "5 \r\nhello\r\n",
                                "5\t\r\nhello\r\n",
                                "5 5\r\nhello\r\n",
                                "\r\nhello\r\n",
                                "g\r\nhello\r\n",
                                "5h\r\nhello\r\n",
                                "5\nhello\r\n",
                                "5\rhello\r\n",
                                "5\r\nhello\n",
                                "5\r\nhello0\r\n\r\n",
                                "5\r\nhelloX\r\n0\r\n\r\n",
                                "5\r\nhello\r0",
                                "00000000000000005\r\nhello\r\n",
                                "10000000000000005\r\nhello\r\n",
                                "5;\r\nhello\r\n",
                                "5;a\nb\r\nhello\r\n",
                                "5;a\r\rb\r\nhello\r\n",
                                "5;=a\r\nhello\r\n",
                                "5;a=\r\nhello\r\n",
                                "5;a=\"b\r\nhello\r\n",
                                "5 a\r\nhello\r\n",
                                "5,a\r\nhello\r\n",
                                "5;a\x01\r\nhello\r\n",
                                "5;\xFF\r\nhello\r\n",
                                "\xEF\xBC\x95\r\nhello\r\n",
                                "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
                                "5\r\nhello\r\n0\r\n folded: x\r\n\r\n",
                                "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
                                "5\r\nhello\r\n0\r\nA: b\n\r\n",
                                "5\r\nhello\r\n0\n\r\n",
                                "5\r\nhello\r\n0\r\n\n",
                                "5\r\nhello\r\n0\r\n\rx",
                                "5\r\nhello\r\n0\r\nA: b\r\n \r\n\r\n",
                                "5.0\r\nhello\r\n",
                                "5;a=b c\r\nhello\r\n"}) {
    hub.refuses(post_with("Transfer-Encoding: chunked\r\n", bad), 400);
  }
  for (const std::string large : {"ffffffffffffffff", "8000000000000000", "FFFFFFFF", "100001", "fffffffffffffffb"}) {
    hub.refuses(post_with("Transfer-Encoding: chunked\r\n", large + "\r\nhello\r\n0\r\n\r\n"), 413);
    hub.refuses(post_with("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n" + large + "\r\nhello\r\n0\r\n\r\n"), 413);
  }
}

TEST_CASE("chunk extensions and trailers are bounded together", "[conformance][WIRE-8]") {
  Hub hub;
  const std::string te = "Transfer-Encoding: chunked\r\n";
  // One by one they are short.
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "1;" + std::string(100, 'a') + "\r\nx\r\n";
  hub.refuses(post_with(te, many + "0\r\n\r\n"), 431);
  hub.refuses(post_with(te, "1;" + std::string(8192, 'a') + "\r\nx\r\n0\r\n\r\n"), 431);
  hub.refuses(post_with(te, "0\r\nA: " + std::string(8192, 'a') + "\r\n\r\n"), 431);
  std::string trailers;
  for (int i = 0; i < 5000; ++i) trailers += "A: bcd\r\n";
  hub.refuses(post_with(te, "0\r\n" + trailers + "\r\n"), 431);
  hub.takes(post_with(te, "1;" + std::string(8000, 'a') + "\r\nx\r\n0\r\nA: " + std::string(8000, 'a') + "\r\n\r\n"),
            202, {"x"});
}
