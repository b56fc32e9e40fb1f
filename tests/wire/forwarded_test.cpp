#include <string>
#include <utility>
#include <vector>

#include <downlink/wire/forwarded.hpp>

#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::wire;

TEST_CASE("a parameter of Forwarded is found in any case, order and form", "[wire][RFC7239-4]") {
  CHECK(forwarded_value("for=192.0.2.60;proto=http;by=203.0.113.43", "proto") == "http");
  CHECK(forwarded_value("For=\"[2001:db8:cafe::17]:4711\"", "for") == "[2001:db8:cafe::17]:4711");
  CHECK(forwarded_value(" proto=http ; FOR = 1.2.3.4 ", "for") == "1.2.3.4");
  CHECK(forwarded_value("host=\"a;for=6.6.6.6;b\";for=1.2.3.4", "for") == "1.2.3.4");  // RFC 9110 §5.6.4
  CHECK(forwarded_value("host=\"a\\\";for=6.6.6.6;b\\\\\";for=1.2.3.4", "for") == "1.2.3.4");
  CHECK(forwarded_value("for=1.2.3.4;for=6.6.6.6", "for") == "1.2.3.4");
  for (const auto* element : {"", ";", ";;", "for", "=", "fort=1", "host=a;\"for=1", "\""}) {
    CHECK(forwarded_value(element, "for").empty());
  }
}

TEST_CASE("a node is an address without brackets and port, or what hides one", "[wire][RFC7239-6]") {
  CHECK(node_host("192.0.2.43:47011") == "192.0.2.43");
  CHECK(node_host("192.0.2.43") == "192.0.2.43");
  CHECK(node_host("[2001:db8:cafe::17]:4711") == "2001:db8:cafe::17");
  CHECK(node_host("[2001:db8:cafe::17]") == "2001:db8:cafe::17");
  CHECK(node_host("2001:db8:cafe::17") == "2001:db8:cafe::17");
  CHECK(node_host("_hidden") == "_hidden");
  CHECK(node_host("[::1") == "::1");
  for (const auto* node : {"", "[", "[]", ":", "]"}) CHECK(node_host(node).size() < 2);
}

TEST_CASE("who is named by several header lines stands in their order", "[wire][RFC7239-5.2]") {
  RequestHead head("GET", "/");
  head.add_header("X-Forwarded-For", "1.1.1.1, 2.2.2.2:80");
  head.add_header("Forwarded", "for=\"[::1]\";host=\"a,b\", host=c");
  head.add_header("x-forwarded-for", "3.3.3.3,,");
  const auto named = forwarded_for(head);
  CHECK(named.x_forwarded_for == std::vector<std::string>{"1.1.1.1", "2.2.2.2", "3.3.3.3"});
  CHECK(named.forwarded == std::vector<std::string>{"::1", ""});
}

TEST_CASE("no quote that a client leaves open hides what a proxy adds behind it", "[wire][RFC7239-4]") {
  const auto last = [](std::vector<std::pair<std::string, std::string>> lines) {
    RequestHead head("GET", "/");
    for (const auto& [name, value] : lines) head.add_header(name, value);
    const auto named = forwarded_for(head);
    const auto& nodes = named.forwarded.empty() ? named.x_forwarded_for : named.forwarded;
    return nodes.empty() ? std::string() : nodes.back();
  };
  const std::string x = "X-Forwarded-For";
  for (const std::string made_up : {"6.6.6.6:\"", "\"", "[2001:db8::6]\"", "6.6.6.6\\", "\"6.6.6.6\\"}) {
    INFO(made_up);
    CHECK(last({{x, made_up + ", 203.0.113.9"}}) == "203.0.113.9");
    CHECK(last({{x, made_up}, {x, "203.0.113.9"}}) == "203.0.113.9");
    CHECK(last({{x, made_up + ", 203.0.113.9"}, {x, "10.0.0.2"}}) == "10.0.0.2");
  }
  for (const std::string made_up : {"for=6.6.6.6;x=\"", "\"", "for=\"6.6.6.6", "for=6.6.6.6;x=\"\\",
                                    "for=6.6.6.6;x=\"\\\"", "for=6.6.6.6;x=\"a\\\\"}) {
    INFO(made_up);
    for (const std::string added : {"for=203.0.113.9", "for=\"203.0.113.9:80\"", "host=\"a\\\"b,c;d\";for=203.0.113.9",
                                    "for=\"203.0.113.9\";host=\"a,for=6.6.6.6;x\""}) {
      INFO(added);
      CHECK(last({{"Forwarded", made_up + ", " + added}}) == "203.0.113.9");
      CHECK(last({{"Forwarded", made_up}, {"Forwarded", added}}) == "203.0.113.9");
    }
  }
}
