#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/limits.hpp"
#include "support/served.hpp"

using namespace downlink;
using namespace downlink::testing;

namespace {

// A server whose answer to a POST is the sender's address.
struct Mirror {
  explicit Mirror(ServerOptions options, std::function<void(const LogEntry&)> log = {})
      : server(loop.contexts(), std::move(options)) {
    if (log) server.on_log(std::move(log));
    server.route("/c", channel);
    server.on_message("/c", [](const Peer& from, const Inbound&) -> Reply {
      return Message{.data = from.identity().remote_address};
    });
    server.start();
  }

  std::string address(std::string_view headers, std::string_view before = {}) {
    Connection connection(server.port());
    connection.send(std::string(before) + request_text("POST", "/c", headers, "x"));
    return connection.read_response().body;
  }

  Channel channel;
  Loop loop;
  Server<ShortPolling, Sse> server;
};

ServerOptions trusting(std::vector<std::string> proxies, bool proxy_protocol = false) {
  return {.proxy_protocol = proxy_protocol, .endpoint = {.trusted_proxies = std::move(proxies)}};
}

constexpr auto named = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n";
const std::string announced = "PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\n";
const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string local = signature + std::string("\x20\0\0\0", 4);
// Whom a proxy relays without saying who it is: by version 1, and by version 2 without an address and with a path.
const std::vector<std::string> unknown{"PROXY UNKNOWN\r\n", signature + std::string("\x21\0\0\0", 4),
                                       signature + "\x21\x31" + std::string("\0\xD8", 2) + std::string(216, 'x')};

// A stream that has been asked for, with those headers and after that header of the PROXY protocol.
Connection stream(const Mirror& mirror, std::string_view headers, std::string_view before = {}) {
  Connection connection(mirror.server.port());
  connection.send(std::string(before) +
                  request_text("GET", "/c", "Accept: text/event-stream\r\n" + std::string(headers)));
  return connection;
}
// Whether it was opened, rather than told when to come again.
bool opened(Connection& connection) { return connection.read_head().lists("Transfer-Encoding", "chunked"); }

}  // namespace

TEST_CASE("a peer's address is what a trusted proxy says, and no other", "[scenario][WIRE-8][RFC7239-5.2]") {
  CHECK(Mirror({}).address(named) == "127.0.0.1");
  CHECK(Mirror(trusting({"10.0.0.0/8"})).address(named) == "127.0.0.1");
  Mirror mirror(trusting({"127.0.0.0/8"}));
  CHECK(mirror.address(named) == "192.0.2.1");
  CHECK(mirror.address("Forwarded: for=\"[2001:db8::1]:99\"\r\n") == "2001:db8::1");
  CHECK(mirror.address({}) == "127.0.0.1");
  Connection kept(mirror.server.port());  // each of a connection's requests speaks for itself
  for (const std::string client : {"192.0.2.1", "192.0.2.2"}) {
    kept.send(request_text("POST", "/c", "X-Forwarded-For: " + client + "\r\n", "x"));
    CHECK(kept.read_response().body == client);
  }
}

TEST_CASE("a trusted proxy's host makes an origin the server's own", "[scenario][WIRE-8][RFC7239-5.3]") {
  constexpr auto page = "Host: inner\r\nOrigin: https://pub.example\r\nX-Forwarded-Host: pub.example\r\n";
  const auto status = [&](std::vector<std::string> proxies) {
    Mirror mirror(trusting(std::move(proxies)));
    Connection connection(mirror.server.port());
    connection.send(request_text("POST", "/c", page, "x"));
    return connection.read_response().status;
  };
  CHECK(status({}) == 403);
  CHECK(status({"127.0.0.1"}) == 202);
}

TEST_CASE("the PROXY protocol names the client of a connection from a trusted proxy", "[scenario][proxy-protocol]") {
  Mirror mirror(trusting({"127.0.0.1"}, true));
  CHECK(mirror.address({}, announced) == "192.0.2.7");
  CHECK(mirror.address(named, announced) == "192.0.2.7");  // whom nobody trusts
  CHECK(mirror.address(named, "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n") == "192.0.2.1");
  CHECK(mirror.address({}, local) == "127.0.0.1");
  CHECK(mirror.address(named, local) == "192.0.2.1");

  Connection slow(mirror.server.port());
  for (const char byte : announced) slow.send({&byte, 1});
  slow.send(request_text("POST", "/c", {}, "x"));
  CHECK(slow.read_response().body == "192.0.2.7");
  slow.send(request_text("POST", "/c", {}, "x"));  // it stands before the first request alone
  CHECK(slow.read_response().body == "192.0.2.7");
}

TEST_CASE("a trusted proxy's connection without the PROXY protocol's header is closed", "[scenario][proxy-protocol]") {
  Mirror mirror(trusting({"127.0.0.1"}, true));
  for (const std::string start :
       {"GET /c HTTP/1.1\r\n", "PROXY TCP4 a b 1 2\r\n", "PROXY TCP4 999.0.0.1 1.2.3.4 1 2\r\n"}) {
    Connection connection(mirror.server.port());
    connection.send(start);
    CHECK(connection.closed_by_peer());
  }
  Mirror other(trusting({"10.0.0.0/8"}, true));  // who is not trusted speaks HTTP, and has nothing else believed
  CHECK(other.address(named) == "127.0.0.1");
  Connection liar(other.server.port());
  liar.send(announced + request_text("POST", "/c", {}, "x"));
  CHECK(liar.read_response().status == 400);
  CHECK_THROWS_AS((Server<Sse>(other.loop.contexts(), {.proxy_protocol = true})), std::invalid_argument);
}

TEST_CASE("limits count whom a trusted proxy names, and not the proxy", "[scenario][DESIGN-3.5][WIRE-8]") {
  ServerOptions options = trusting({"127.0.0.1"});
  options.endpoint.max_connections_per_address = 1;
  Mirror mirror(std::move(options));
  const auto stream = [&](const std::string& client) {
    Connection connection(mirror.server.port());
    connection.send(request_text("GET", "/c", "Accept: text/event-stream\r\nX-Forwarded-For: " + client + "\r\n"));
    return connection;
  };
  auto first = stream("192.0.2.1");
  CHECK(first.read_head().lists("Transfer-Encoding", "chunked"));
  auto second = stream("192.0.2.2");
  CHECK(second.read_head().lists("Transfer-Encoding", "chunked"));
  CHECK_FALSE(stream("192.0.2.1").read_head().lists("Transfer-Encoding", "chunked"));  // told when to come again
  first.close();
  CHECK(eventually([&] { return mirror.server.connection_count() == 1; }));
  auto again = stream("192.0.2.1");
  CHECK(again.read_head().lists("Transfer-Encoding", "chunked"));
  auto proxy = Connection(mirror.server.port());
  auto proxy_too = Connection(mirror.server.port());
  for (auto* connection : {&proxy, &proxy_too}) {
    connection->send(request_text("GET", "/c"));
    CHECK(connection->read_response().status == 200);
  }
}

TEST_CASE("whom a proxy relays without an address has no headers believed", "[scenario][proxy-protocol]") {
  Mirror mirror(trusting({"127.0.0.1"}, true));
  for (const auto& header : unknown) CHECK(mirror.address(named, header) == "127.0.0.1");
}

TEST_CASE("clients that a trusted proxy names and that are not known share the limit of one address",
          "[scenario][DESIGN-3.5][WIRE-8]") {
  const bool protocol = GENERATE(false, true);
  ServerOptions options = trusting({"127.0.0.1"}, protocol);
  options.endpoint.max_connections_per_address = 2;
  Mirror mirror(std::move(options));
  const std::string before = protocol ? local : "";
  std::vector<Connection> idle;  // those of a proxy that has named nobody are not counted
  for (int i = 0; i < 3; ++i) {
    idle.emplace_back(mirror.server.port());
    idle.back().send(before + request_text("GET", "/c"));
    CHECK(idle.back().read_response().status == 200);
  }
  auto invented = stream(mirror, "Forwarded: for=x\r\nX-Forwarded-For: 192.0.2.1\r\n", before);
  CHECK(opened(invented));
  auto hidden = stream(mirror, "Forwarded: for=unknown\r\n", before);
  CHECK(opened(hidden));
  const auto refused = [&](const std::string& headers, const std::string& header) {
    auto connection = stream(mirror, headers, header);
    return !opened(connection);
  };
  CHECK(refused("Forwarded: for=y\r\nX-Forwarded-For: 192.0.2.2\r\n", before));
  CHECK(refused("Forwarded: for=_hidden\r\n", before));
  if (protocol) {
    for (const auto& header : unknown) CHECK(refused("X-Forwarded-For: 192.0.2.3\r\n", header));
  }
  auto known = stream(mirror, "X-Forwarded-For: 192.0.2.4\r\n", before);
  CHECK(opened(known));
  hidden.close();
  CHECK(eventually([&] { return mirror.server.connection_count() == 5; }));
  auto again = stream(mirror, "Forwarded: for=unknown\r\n", before);
  CHECK(opened(again));
}

TEST_CASE("those whom a trusted proxy names past their limit are bounded too", "[scenario][DESIGN-3.5]") {
  const bool protocol = GENERATE(false, true);
  ServerOptions options = trusting({"127.0.0.1"}, protocol);
  options.endpoint.max_connections_per_address = 1;
  options.endpoint.head_timeout = options.endpoint.linger_timeout = std::chrono::minutes(1);
  Mirror mirror(std::move(options));
  const std::string from = "X-Forwarded-For: 192.0.2.7\r\n";
  auto first = protocol ? stream(mirror, {}, announced) : stream(mirror, from);
  CHECK(opened(first));
  constexpr std::size_t most = detail::Admission::most_refused;
  std::vector<Connection> crowd;
  for (std::size_t i = 0; i < most + 5; ++i) {
    crowd.emplace_back(mirror.server.port());
    crowd.back().send(protocol ? announced : request_text("GET", "/c", from));
  }
  std::size_t reset = 0;
  std::size_t silent = 0;
  CHECK(eventually([&] {
    reset = silent = 0;
    for (auto& connection : crowd) {
      if (connection.wait_for_end(std::chrono::milliseconds{0}) != Connection::End::reset) continue;
      ++reset;
      if (connection.unread().empty()) ++silent;
    }
    return reset == 5;
  }));
  CHECK(silent == 5);
  CHECK(eventually([&] { return mirror.server.connection_count() == most + 1; }));
  first.close();
  crowd.clear();
  CHECK(eventually([&] { return mirror.server.connection_count() == 0; }));
  auto again = protocol ? stream(mirror, {}, announced) : stream(mirror, from);
  CHECK(opened(again));
}

TEST_CASE("a refused head's log entry names nobody of a request before it", "[scenario][log][WIRE-8]") {
  std::mutex mutex;
  std::vector<std::string> addresses;
  Mirror mirror(trusting({"127.0.0.1"}), [&](const LogEntry& entry) {
    const std::lock_guard guard(mutex);
    addresses.push_back(entry.remote_address);
  });
  Connection shared(mirror.server.port());
  shared.send(request_text("POST", "/c", "X-Forwarded-For: 192.0.2.1\r\n", "x"));
  CHECK(shared.read_response().body == "192.0.2.1");
  // The proxy's own line might have stood behind what was wrong.
  shared.send("GET /c HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nbad\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n");
  CHECK(shared.read_response().status == 400);
  const std::lock_guard guard(mutex);
  CHECK(addresses == std::vector<std::string>{"127.0.0.1"});
}
