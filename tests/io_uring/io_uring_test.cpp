#include <downlink/io_uring.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// A server that sends by io_uring, where the system lets it: containers may forbid it.
struct RingServer : Served<Sse, WebSocket> {
  RingServer() {
    calls.submits = calls.sends = calls.refuse = calls.fail = 0;
    refused = enable_io_uring(server);
  }

  // Counts the calls that `publish` makes the server do until it has nothing to do.
  template <class Publish>
  void count(Publish publish) {
    loop.run_on([&] {
      calls.submits = calls.sends = 0;
      watched = true;
      publish();
    });
    // What the server's shard is yet to do was posted before this.
    loop.run_on([] {});
    loop.run_on([] { watched = false; });
  }

  error_code refused;
};

}  // namespace

TEST_CASE("a round is sent by one call, whatever its channels and transports", "[io_uring]") {
  RingServer ring;
  Channel other;
  ring.server.route("/other", other);
  ring.start();
  std::deque<SseClient> events;
  std::deque<WebSocketClient> sockets;
  for (int i = 0; i < 20; ++i) {
    for (const auto* target : {"/c", "/other"}) {
      events.emplace_back(ring.port(), target).open();
      sockets.emplace_back(ring.port(), target);
    }
  }
  REQUIRE(ring.subscribers(40));
  REQUIRE(eventually([&] { return other.subscriber_count() == 40; }));
  int fewest = 100;  // a turn that takes too long is cut in two
  for (int round = 0; round < 10; ++round) {
    ring.count([&] {
      ring.publish("of one");
      Publisher(other).publish({.data = "of the other"});
    });
    CHECK(calls.sends == (ring.refused ? 80 : 0));
    fewest = std::min(fewest, calls.submits.load());
    for (std::size_t i = 0; i < 40; ++i) {
      const std::string expected = i % 2 == 0 ? "of one" : "of the other";
      CHECK(events[i].next_event().data == expected);
      CHECK(sockets[i].next_message().payload == expected);
    }
  }
  CHECK(fewest == (ring.refused ? 0 : 1));
}

TEST_CASE("a lone subscriber is sent to as ever", "[io_uring]") {
  RingServer ring;
  ring.start();
  SseClient client(ring.port(), "/c");
  client.open();
  ring.count([&] { ring.publish("x"); });
  CHECK(calls.submits == 0);
  CHECK(calls.sends == 1);
  CHECK(client.next_event().data == "x");
}

TEST_CASE("where the system refuses, everything works as without", "[io_uring]") {
  RingServer ring;
  calls.refuse = EPERM;
  Served<Sse> without;
  const auto error = enable_io_uring(without.server);
  CHECK(error == net::error::make_error_code(net::error::no_permission));
  without.start();
  std::deque<SseClient> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(without.port(), "/c").open();
  calls.submits = 0;
  without.publish("x");
  for (auto& client : clients) CHECK(client.next_event().data == "x");
  CHECK(calls.submits == 0);
}

TEST_CASE("should submitting fail, each message is still sent once", "[io_uring]") {
  RingServer ring;
  ring.start();
  std::deque<SseClient> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(ring.port(), "/c").open();
  REQUIRE(ring.subscribers(10));
  ring.publish("1");
  for (auto& client : clients) CHECK(client.next_event().data == "1");
  calls.fail = ENOMEM;
  ring.count([&] { ring.publish("2"); });
  CHECK(calls.sends == 10);
  calls.fail = 0;
  ring.count([&] { ring.publish("3"); });
  CHECK(calls.submits == 0);  // it is left alone from then on
  CHECK(calls.sends == 10);
  for (auto& client : clients) {
    CHECK(client.next_event().data == "2");
    CHECK(client.next_event().data == "3");
  }
}

TEST_CASE("who is called back in a round may write to those that it has sent to",
          "[io_uring][DESIGN-3.4][DESIGN-3.7]") {
  constexpr std::size_t staying = 12, leaving = 4;
  std::mutex mutex;
  std::vector<Peer> peers;
  RingServer ring;
  ring.server.on_subscribe([&](const Peer& peer) {
    const std::lock_guard guard(mutex);
    peers.push_back(peer);
  });
  ring.server.on_unsubscribe([&](const Peer&, EndReason) {
    const std::lock_guard guard(mutex);
    for (auto& peer : peers) peer.send({.data = "somebody has left"});
  });
  ring.start();
  std::deque<WebSocketClient> clients;
  for (std::size_t i = 0; i < staying + leaving; ++i) clients.emplace_back(ring.port(), "/c");
  REQUIRE(ring.subscribers(staying + leaving));
  // The server comes to know of it in the round: it is at this task until then.
  ring.loop.run_on([&] {
    for (std::size_t i = 0; i < leaving; ++i) clients[3 * i].connection().reset();
    ring.publish("to all");
  });
  const auto stays = [](std::size_t i) { return i % 3 != 0 || i / 3 >= leaving; };
  for (std::size_t i = 0; i < clients.size(); ++i) {
    if (!stays(i)) continue;
    std::map<std::string, std::size_t> came;
    for (std::size_t k = 0; k < 1 + leaving; ++k) ++came[clients[i].next_message().payload];
    CHECK(came["to all"] == 1);
    CHECK(came["somebody has left"] == leaving);
  }
  // No more than that came: what is published only now is next.
  ring.publish("the end");
  for (std::size_t i = 0; i < clients.size(); ++i) {
    if (stays(i)) CHECK(clients[i].next_message().payload == "the end");
  }
}

TEST_CASE("who falls behind ends after what was collected for others is sent", "[io_uring][DESIGN-3.7][WIRE-7]") {
  Channel fast;
  Channel slow({.max_lag = 64 << 10, .lag_policy = LagPolicy::disconnect});
  Loop loop;
  std::optional<Server<Sse, WebSocket>> server(std::in_place, loop.context(),
                                               ServerOptions{.endpoint = {.one_thread = true}});
  enable_io_uring(*server);
  server->route("/fast", fast);
  server->route("/slow", slow);
  std::atomic<bool> destroyed{false};
  server->on_log([&](const LogEntry& entry) {
    if (entry.event != LogEvent::stream_dropped) return;
    server.reset();  // with it go those for whom something was collected
    destroyed = true;
  });
  server->start();
  std::deque<WebSocketClient> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(server->port(), "/fast");
  SseClient reader(slow_connection(server->port()), "/slow");
  reader.open();
  REQUIRE(eventually([&] { return fast.subscriber_count() == 5 && slow.subscriber_count() == 1; }));
  int rounds = 0;
  for (; !destroyed && rounds < 1000; ++rounds) {
    loop.run_on([&] {
      Publisher(slow).publish({.data = std::string(20'000, '.')});  // the later of two is looked at first
      Publisher(fast).publish({.data = std::to_string(rounds)});
    });
  }
  REQUIRE(destroyed);
  for (auto& client : clients) {
    for (int i = 0; i < rounds - 1; ++i) CHECK(client.next_message().payload == std::to_string(i));
  }
}
