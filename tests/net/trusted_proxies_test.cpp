#include <string>
#include <utility>
#include <vector>

#include <downlink/net/trusted_proxies.hpp>

#include "support/catch.hpp"

using downlink::RequestHead;
using downlink::detail::TrustedProxies;

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

auto named_client(const Headers& headers, const std::string& peer = "10.0.0.1") {
  RequestHead head("GET", "/");
  for (const auto& [name, value] : headers) head.add_header(name, value);
  return TrustedProxies({"10.0.0.0/8", "2001:db8::/33"}).client(head, peer);
}

std::string client(const Headers& headers, const std::string& peer = "10.0.0.1") {
  return named_client(headers, peer).address;
}

}  // namespace

TEST_CASE("a network is an address, or one with the length of a prefix", "[net][WIRE-8]") {
  const auto trusts = [](const char* network, const char* address) {
    return TrustedProxies({network}).contains(address);
  };
  CHECK(trusts("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(trusts("10.0.0.0/8", "11.0.0.1"));
  CHECK(trusts("192.168.4.0/23", "192.168.5.255"));
  CHECK_FALSE(trusts("192.168.4.0/23", "192.168.6.0"));
  CHECK(trusts("127.0.0.1", "127.0.0.1"));
  CHECK_FALSE(trusts("127.0.0.1", "127.0.0.2"));
  CHECK(trusts("127.0.0.1", "::ffff:127.0.0.1"));  // a socket of both families
  CHECK(trusts("0.0.0.0/0", "8.8.8.8"));
  CHECK_FALSE(trusts("0.0.0.0/0", "::1"));
  CHECK(trusts("::/0", "8.8.8.8"));
  CHECK(trusts("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(trusts("2001:db8::/33", "2001:db8:8000::1"));
  for (const auto* address : {"", "nonsense", "10.0.0.1:80"}) CHECK_FALSE(trusts("::/0", address));
  CHECK(TrustedProxies({}).empty());
  CHECK_FALSE(TrustedProxies({}).contains("127.0.0.1"));
  for (const auto* bad : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "localhost", "10.0.0.0/-1", "10.0.0.0/8/8"}) {
    INFO(bad);
    CHECK_THROWS_AS(TrustedProxies({bad}), std::invalid_argument);
  }
}

TEST_CASE("a trusted proxy's client is the last one named that is no trusted proxy itself",
          "[net][WIRE-8][RFC7239-5.2]") {
  for (const std::string name : {"X-Forwarded-For", "Forwarded"}) {
    const auto named = [&](std::vector<std::string> nodes, const std::string& peer = "10.0.0.1") {
      std::string value;
      for (const auto& node : nodes)
        value += (value.empty() ? "" : ", ") + (name == "Forwarded" ? "for=\"" + node + '"' : node);
      return client({{name, value}}, peer);
    };
    CHECK(named({"192.0.2.1"}) == "192.0.2.1");
    CHECK(named({"6.6.6.6", "192.0.2.1"}) == "192.0.2.1");  // the first is the client's own invention
    CHECK(named({"6.6.6.6", "192.0.2.1", "10.9.9.9"}) == "192.0.2.1");
    CHECK(named({"10.2.2.2", "10.9.9.9"}) == "10.2.2.2");
    CHECK(named({"[2001:0db8:8000::1]:443"}) == "2001:db8:8000::1");
    CHECK(named({"192.0.2.1:443"}) == "192.0.2.1");
    CHECK(named({"192.0.2.1", "unknown"}) == "10.0.0.1");
    CHECK(named({"192.0.2.1", "_hidden", "10.9.9.9"}) == "10.9.9.9");
    CHECK(named({"192.0.2.1"}, "8.8.8.8") == "8.8.8.8");  // nobody trusts that one
    CHECK(named({"192.0.2.1"}, "") == "");
  }
  CHECK(client({}) == "10.0.0.1");
}

TEST_CASE("a client makes nobody of itself by a quote that it leaves open", "[net][WIRE-8][RFC7239-4]") {
  CHECK(client({{"X-Forwarded-For", "6.6.6.6:\", 203.0.113.9"}}) == "203.0.113.9");
  CHECK(client({{"X-Forwarded-For", "[2001:db8:8000::6]\""}, {"X-Forwarded-For", "203.0.113.9"}}) == "203.0.113.9");
  CHECK(client({{"Forwarded", "for=6.6.6.6;x=\""}, {"Forwarded", "for=203.0.113.9"}}) == "203.0.113.9");
  CHECK(client({{"Forwarded", "for=6.6.6.6;x=\", for=\"203.0.113.9\", for=10.0.0.2"}}) == "203.0.113.9");
}

TEST_CASE("where Forwarded and X-Forwarded-For name different clients, neither is believed", "[net][WIRE-8]") {
  CHECK(client({{"Forwarded", "for=192.0.2.1"}, {"X-Forwarded-For", "192.0.2.1"}}) == "192.0.2.1");
  CHECK(client({{"Forwarded", "for=6.6.6.6"}, {"X-Forwarded-For", "192.0.2.1"}}) == "10.0.0.1");
  CHECK(client({{"Forwarded", "proto=https"}, {"X-Forwarded-For", "192.0.2.1"}}) == "10.0.0.1");
}

TEST_CASE("who is named and yet not known is told apart from a proxy that names nobody", "[net][WIRE-8][RFC7239-6.3]") {
  const auto unknown = [](const Headers& headers) { return named_client(headers).unknown; };
  CHECK_FALSE(unknown({}));
  CHECK_FALSE(unknown({{"X-Forwarded-For", "192.0.2.1"}}));
  CHECK_FALSE(unknown({{"X-Forwarded-For", "10.2.2.2"}}));  // a proxy that speaks for itself
  CHECK_FALSE(unknown({{"Forwarded", "for=_hidden, for=192.0.2.1"}}));
  CHECK_FALSE(unknown({{"Forwarded", "for=192.0.2.1"}, {"X-Forwarded-For", "192.0.2.1"}}));
  CHECK(unknown({{"Forwarded", "for=unknown"}}));
  CHECK(unknown({{"Forwarded", "for=_hidden, for=10.2.2.2"}}));
  CHECK(unknown({{"Forwarded", "proto=https"}}));
  CHECK(unknown({{"X-Forwarded-For", "nonsense"}}));
  CHECK(unknown({{"Forwarded", "for=x"}, {"X-Forwarded-For", "192.0.2.1"}}));
  CHECK(unknown({{"Forwarded", "for=6.6.6.6"}, {"X-Forwarded-For", "192.0.2.1"}}));
  CHECK(unknown({{"Forwarded", "for=unknown"}, {"X-Forwarded-For", "10.0.0.1"}}));
}
