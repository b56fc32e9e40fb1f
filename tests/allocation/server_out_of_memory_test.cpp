#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <downlink/downlink.hpp>

#include "allocation/failing.hpp"
#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view asks_for_stream = "Accept: text/event-stream\r\n";
constexpr std::string_view upgrades =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: downlink.v1\r\n";

/// A client in the thread that runs the server too: it never waits.
class Client {
 public:
  explicit Client(std::uint16_t port) : connection_(port) {}

  void send(std::string_view bytes) { connection_.send(bytes); }
  void close() { connection_.close(); }
  bool got(std::string_view text) {
    look();
    return got_.find(text) != std::string::npos;
  }
  bool ended() {
    look();
    return ended_;
  }

 private:
  void look() {
    char room[4096];
    while (!ended_) {
      const auto bytes = ::recv(connection_.native_handle(), room, sizeof room, MSG_DONTWAIT);
      if (bytes < 0 && errno == EAGAIN) return;
      ended_ = bytes <= 0;
      if (bytes > 0) got_.append(room, static_cast<std::size_t>(bytes));
    }
  }

  testing::Connection connection_;
  std::string got_;
  bool ended_ = false;
};

/// Runs a loop until `condition` holds, whatever there is no memory for; whether it came to.
bool run_until(net::io_context& io, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition() && std::chrono::steady_clock::now() < end) {
    try {
      io.restart();
      io.run_one_for(1ms);
    } catch (const std::bad_alloc&) {
    }
  }
  return condition();
}

/// A server whose loop an application runs that survives a lack of memory.
struct Survivor {
  explicit Survivor(bool one_thread) {
    EndpointOptions options{.stream = {.heartbeat = 200ms}};
    options.head_timeout = options.idle_timeout = options.body_timeout = options.linger_timeout = 100ms;
    options.one_thread = one_thread;
    server.emplace(io, ServerOptions{.endpoint = std::move(options)});
    server->route("/c", channel);
    server->on_message("/c", [](const Peer&, const Inbound& in) { return Message{.data = "thanks for " + in.data}; });
    server->on_unsubscribe([kept = token](const Peer&, EndReason) {});
    server->start();
  }

  bool run(const std::function<bool()>& condition) { return run_until(io, condition); }

  /// Runs it while there is something to do, with allocation number `which` failing; how many it fell short of that.
  long run_failing_at(long which) {
    failing_allocation = which;
    bool some = true;
    while (some) {
      try {
        io.restart();
        some = io.run_one_for(2ms) > 0;
      } catch (const std::bad_alloc&) {
      }
    }
    return std::exchange(failing_allocation, -1);
  }

  std::shared_ptr<int> token = std::make_shared<int>();
  net::io_context io{1};
  Channel channel;
  Publisher publisher{channel};
  std::optional<Server<WebSocket, Sse, LongPolling, ShortPolling>> server;
};

struct Case {
  std::string_view name;
  std::string request;
  std::string_view answer;
};

}  // namespace

TEST_CASE("one allocation that fails costs a client its connection at most", "[net][DESIGN-3.8]") {
  const bool one_thread = GENERATE(true, false);
  const auto test = GENERATE(
      Case{"a stream", request_text("GET", "/c?cursor=earliest", asks_for_stream), "data: second"},
      Case{"a held poll", request_text("GET", "/c", "Prefer: wait=5\r\n"), "second"},
      Case{"a poll", request_text("GET", "/c?cursor=earliest"), "first"},
      Case{"a POST", request_text("POST", "/c", {}, "hello"), "thanks for hello"},
      Case{"a WebSocket",
           request_text("GET", "/c", upgrades) + std::string("\x81\x85\0\0\0\0hello\x89\x80\0\0\0\0", 17), "second"});
  long which = 0;
  for (bool failed = true; failed; ++which) {
    CAPTURE(test.name, which, one_thread);
    std::weak_ptr<int> token;
    {
      Survivor server(one_thread);
      token = server.token;
      Client old(server.server->port());
      old.send(request_text("GET", "/c", asks_for_stream));
      REQUIRE(server.run([&] { return server.channel.subscriber_count() == 1; }));
      REQUIRE(server.publisher.publish({.data = "first"}));
      REQUIRE(server.run([&] { return old.got("data: first"); }));

      Client client(server.server->port());
      client.send(test.request);
      const long left = server.run_failing_at(which);
      REQUIRE(server.publisher.publish({.data = "second"}));
      failed = left < 0 || server.run_failing_at(left) < 0;
      CHECK(server.run([&] { return client.got(test.answer) || client.ended(); }));
      CHECK(server.run([&] { return old.got("data: second") || old.ended(); }));

      Client next(server.server->port());
      next.send(request_text("GET", "/c?cursor=earliest"));
      CHECK(server.run([&] { return next.got("\"second\""); }));
      client.close();
      next.close();
      old.close();
      CHECK(server.run([&] { return server.server->connection_count() == 0; }));
      CHECK(server.channel.subscriber_count() == 0);
      for (const auto subscribers : server.server->stats().subscribers.figures) CHECK(subscribers == 0);
    }
    CHECK(token.expired());
  }
  CHECK(which > 10);
}

TEST_CASE("where there is no memory to hand a busy shard who came, accepting resumes after a pause",
          "[net][threads][DESIGN-3.8]") {
  long which = 0;
  for (bool struck = true; struck; ++which) {
    CAPTURE(which);
    net::io_context io;
    Channel channel;
    Server<ShortPolling> server(io);
    server.route("/c", channel);
    std::optional<Client> dropped;
    server.fallback([&](const HttpRequest&) {  // on the shard
      dropped.emplace(server.port());
      std::thread other([&] {
        failing_allocation = which;
        detail::thrown_by([&] { io.run_one_for(patience); });
        struck = std::exchange(failing_allocation, -1) < 0;
      });
      other.join();
      return HttpResponse{};
    });
    server.start();
    const auto asks = [&](std::string_view target) {
      Client client(server.port());
      client.send(request_text("GET", target));
      return run_until(io, [&] { return client.got("HTTP/1.1 200"); });
    };
    REQUIRE(asks("/busy"));
    REQUIRE(asks("/c?cursor=earliest"));
    CHECK(server.stats().accept_errors == (struck ? 1 : 0));
  }
  CHECK(which > 2);
}
