#include "downlink/wire/request_head.hpp"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using downlink::RequestHead;

TEST_CASE("a head is built from plain values", "[wire]") {
  RequestHead head{"GET", "/a%20b?x=1&y=a+b", 0};
  head.add_header("X-One", " 1 ");
  head.add_header("x-one", "2");
  CHECK(head.method() == "GET");
  CHECK(head.target() == "/a%20b?x=1&y=a+b");
  CHECK(head.path() == "/a%20b");
  CHECK(head.query() == "x=1&y=a+b");
  CHECK(head.query_value("y") == "a b");
  CHECK_FALSE(head.query_value("z"));
  CHECK(head.minor_version() == 0);
  std::vector<std::string> fields;
  for (const auto field : head.headers()) fields.push_back(std::string{field.name} + "=" + std::string{field.value});
  CHECK(fields == std::vector<std::string>{"X-One=1", "x-one=2"});
  CHECK(head.headers().size() == 2);
}

TEST_CASE("a head without values answers as one without anything", "[wire]") {
  RequestHead head;
  CHECK(head.method().empty());
  CHECK(head.path().empty());
  CHECK(head.query().empty());
  CHECK(head.headers().empty());
  CHECK_FALSE(head.header("Host"));
  head.add_header("Host", "h");
  CHECK(head.header("host") == "h");
}

TEST_CASE("a head may be moved and copied, and one moved from may still be asked", "[wire]") {
  RequestHead head{"GET", "/a-path-too-long-for-a-small-string?and-a-query"};
  head.add_header("Name", "value");
  const RequestHead copy = head;
  const RequestHead moved = std::move(head);
  CHECK(copy.header("Name") == "value");
  CHECK(moved.path() == "/a-path-too-long-for-a-small-string");
  CHECK(moved.header("Name") == "value");
  CHECK(head.method().empty());  // NOLINT(bugprone-use-after-move)
  CHECK(head.query().empty());
}

TEST_CASE("headers are found in any case, the first first, and joined by commas", "[wire][RFC9110-5.3]") {
  RequestHead head{"GET", "/"};
  head.add_header("Accept", "a");
  head.add_header("Other", "x");
  head.add_header("ACCEPT", "b, c");
  CHECK(head.header("accept") == "a");
  CHECK(head.header_list("aCCept") == "a, b, c");
  CHECK(head.header_list("None").empty());
  CHECK(head.header_count("accept") == 2);
  CHECK(head.header_count("none") == 0);
  CHECK(head.has_token("Accept", "C"));
  CHECK_FALSE(head.has_token("Accept", "x"));
}

TEST_CASE("a target in absolute form gives its path, and its host wins over Host", "[wire][RFC9112-3.2.2]") {
  RequestHead head{"GET", "http://a.example:81/p/q?r=s"};
  head.add_header("Host", "b.example");
  CHECK(head.path() == "/p/q");
  CHECK(head.query() == "r=s");
  CHECK(head.host() == "a.example:81");
  CHECK(RequestHead("GET", "http://h").path() == "/");
  CHECK(RequestHead("GET", "http://h?q").path() == "/");
  CHECK(RequestHead("GET", "http://h?q").query() == "q");
}

TEST_CASE("other targets are no absolute form", "[wire][RFC9112-3.2]") {
  RequestHead head{"GET", "/p?u=http://x/y?z"};
  head.add_header("Host", "h");
  CHECK(head.path() == "/p");
  CHECK(head.query() == "u=http://x/y?z");
  CHECK(head.host() == "h");
  CHECK(RequestHead("OPTIONS", "*").path() == "*");
  CHECK(RequestHead("CONNECT", "h:1").path() == "h:1");
  CHECK(RequestHead("GET", "/p?").query().empty());
  CHECK(RequestHead("GET", "/a://b").path() == "/a://b");
}

TEST_CASE("HTTP/1.1 keeps the connection unless told to close, and HTTP/1.0 the other way round",
          "[wire][RFC9112-9.3]") {
  const auto keeps = [](int minor, const char* connection, const char* method = "GET") {
    RequestHead head{method, "/", minor};
    if (*connection != '\0') head.add_header("Connection", connection);
    return head.keep_alive();
  };
  CHECK(keeps(1, ""));
  CHECK_FALSE(keeps(1, "Close"));
  CHECK_FALSE(keeps(1, "foo, close"));
  CHECK_FALSE(keeps(0, ""));
  CHECK(keeps(0, "Keep-Alive"));
  CHECK_FALSE(keeps(0, "keep-alive, close"));
  CHECK_FALSE(keeps(1, "", "CONNECT"));
}

TEST_CASE("a WebSocket upgrade has both tokens and at least HTTP/1.1", "[wire][RFC6455-4.2.1]") {
  const auto upgrades = [](int minor, const char* connection, const char* upgrade) {
    RequestHead head{"GET", "/", minor};
    head.add_header("Connection", connection);
    head.add_header("Upgrade", upgrade);
    return head.is_websocket_upgrade();
  };
  CHECK(upgrades(1, "keep-alive, Upgrade", "WebSocket"));
  CHECK(upgrades(1, "upgrade", "h2c, websocket"));
  CHECK_FALSE(upgrades(1, "keep-alive", "websocket"));
  CHECK_FALSE(upgrades(1, "upgrade", "h2c"));
  CHECK_FALSE(upgrades(0, "upgrade", "websocket"));
}

TEST_CASE("a head tells of its body", "[wire][RFC9112-6]") {
  RequestHead none{"POST", "/"};
  CHECK_FALSE(none.has_body());
  CHECK_FALSE(none.content_length());
  CHECK_FALSE(none.expects_continue());
  RequestHead sized{"POST", "/"};
  sized.add_header("Content-Length", "5");
  sized.add_header("Expect", "100-Continue");
  CHECK(sized.has_body());
  CHECK(sized.content_length() == 5u);
  CHECK_FALSE(sized.chunked());
  CHECK(sized.expects_continue());
  RequestHead empty{"POST", "/"};
  empty.add_header("Content-Length", "0");
  CHECK_FALSE(empty.has_body());
  CHECK(empty.content_length() == 0u);
  RequestHead chunked{"POST", "/"};
  chunked.add_header("Transfer-Encoding", "Chunked");
  CHECK(chunked.chunked());
  CHECK(chunked.has_body());
  RequestHead old{"POST", "/", 0};
  old.add_header("Expect", "100-continue");
  CHECK_FALSE(old.expects_continue());
}
