#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// A server whose application takes its time with everything that peers ask of it, and sees how much of that is done
/// between two turns of its own.
struct Busy {
  explicit Busy(bool one_thread, int all = 100) : expected(all), served(options(one_thread)) {
    served.server.authorize([this](const RequestHead&) {
      work();
      return allow();
    });
    served.server.on_message("/c", [this](const Peer&, const Inbound&) { work(); });
    served.start();
    served.loop.run_on([this] { take_turn(); });
  }
  static EndpointOptions options(bool one_thread) {
    EndpointOptions options;
    options.one_thread = one_thread;
    return options;
  }

  void work() {
    std::this_thread::sleep_for(2ms);  // longer than anybody may have the loop
    most = std::max(most, ++done);
    ++total;
  }
  void take_turn() {
    done = 0;
    if (total < expected) net::post(served.loop.context(), [this] { take_turn(); });
  }

  const int expected;
  int done = 0;  // since the last turn
  int most = 0;
  int total = 0;
  ServedAll served;
};

}  // namespace

TEST_CASE("requests that come together do not have the loop until all are answered", "[scenario][DESIGN-3.7]") {
  Busy test(GENERATE(true, false));
  auto client = test.served.connect();
  SECTION("at once") {
    std::string requests;
    for (int i = 0; i < test.expected; ++i) requests += request_text("HEAD", "/c");
    client.send(requests);
  }
  SECTION("behind a poll that is held") {
    client.send(request_text("GET", "/c", "Prefer: wait=20\r\n"));
    REQUIRE(test.served.subscribers(1));
    std::string requests;
    for (int i = 1; i < test.expected; ++i) requests += request_text("HEAD", "/c");
    client.send(requests);
    std::this_thread::sleep_for(50ms);  // so that all are there
    test.served.publish("x");
    CHECK(client.read_response().status == 200);
  }
  SECTION("with the end behind them") {
    std::string requests;
    for (int i = 0; i < test.expected; ++i) requests += request_text("HEAD", "/c");
    client.send(requests);
    ::shutdown(client.native_handle(), SHUT_WR);
    for (int i = 0; i < test.expected; ++i) REQUIRE(client.read_response(true).status == 200);
    CHECK(client.closed_by_peer(20s));
  }
  CHECK(eventually([&] { return test.served.loop.run_on([&] { return test.total; }) == test.expected; }, 20s));
  CHECK(test.served.loop.run_on([&] { return test.most; }) <= 2);
}

TEST_CASE("a drain answers the requests that came together before it, in their turns", "[scenario][WIRE-9]") {
  Busy test(GENERATE(true, false));
  auto client = test.served.connect();
  std::string requests;
  for (int i = 0; i < test.expected; ++i) requests += request_text("HEAD", "/c");
  client.send(requests);
  REQUIRE(eventually([&] { return test.served.loop.run_on([&] { return test.total; }) > 0; }));
  std::promise<void> drained;
  test.served.server.async_drain(1h, [&] { drained.set_value(); });
  int answered = 0;
  bool last = false;
  for (; !last && answered < test.expected; ++answered) {
    const auto answer = client.read_response(true);
    REQUIRE(answer.status == 200);
    last = answer.lists("Connection", "close");
  }
  // Whoever drains says with each answer that it is the last one, so one is answered at the most that does not say so.
  CHECK(last);
  CHECK(client.wait_for_end(20s) == Connection::End::closed);
  client.close();
  CHECK(drained.get_future().wait_for(20s) == std::future_status::ready);
}

TEST_CASE("messages that come together do not have the loop until all are taken", "[scenario][DESIGN-3.7]") {
  Busy test(GENERATE(true, false), 101);  // with the handshake
  WebSocketClient client(test.served.port(), "/c");
  std::string frames;
  for (int i = 1; i < test.expected; ++i) frames += client_frame(ws_text, "hello");
  client.connection().send(frames);
  CHECK(eventually([&] { return test.served.loop.run_on([&] { return test.total; }) == test.expected; }, 20s));
  CHECK(test.served.loop.run_on([&] { return test.most; }) <= 2);
  client.send(ws_ping, "still there");
  CHECK(client.next_frame().payload == "still there");
}

TEST_CASE("peers that have said much do not have the loop until each has had its turn", "[scenario][DESIGN-3.7]") {
  constexpr int peers = 10;
  constexpr int each = 20;
  Busy test(GENERATE(true, false), peers * (1 + each));  // with the handshakes
  std::string frames = client_frame(ws_ping, {});
  for (int i = 0; i < each; ++i) frames += client_frame(ws_text, "hello");
  std::deque<WebSocketClient> clients;
  for (int i = 0; i < peers; ++i) clients.emplace_back(test.served.port(), "/c");
  for (auto& client : clients) {
    client.connection().send(frames);
    // One by one, as of sockets that become readable at the same time the system tells at the same time.
    CHECK(client.next_frame().opcode == ws_pong);
  }
  CHECK(eventually([&] { return test.served.loop.run_on([&] { return test.total; }) == test.expected; }, 20s));
  CHECK(test.served.loop.run_on([&] { return test.most; }) <= 4);
}

TEST_CASE("of many channels that have news again and again, each one's subscribers get theirs meanwhile",
          "[scenario][DESIGN-3.7]") {
  std::vector<Channel> channels(40);
  std::vector<Publisher> publishers(channels.begin(), channels.end());
  std::deque<SseClient> clients;
  std::promise<std::ptrdiff_t> reached;
  std::function<void(int)> publish_to_all;  // always in the same order
  Loop loop;
  Server<Sse> server(loop.context(), {.endpoint = {.one_thread = GENERATE(true, false)}});
  for (std::size_t i = 0; i < channels.size(); ++i) server.route("/" + std::to_string(i), channels[i]);
  server.start();
  for (std::size_t i = 0; i < channels.size(); ++i) clients.emplace_back(server.port(), "/" + std::to_string(i)).open();
  const auto has_come = [](SseClient& client) {
    pollfd message{client.connection().native_handle(), POLLIN, 0};
    return ::poll(&message, 1, 0) == 1;
  };
  publish_to_all = [&](int rounds) {
    // Counted before the loop gets to send more, as there will be time for all once there is no more news.
    if (rounds == 0) return reached.set_value(std::count_if(clients.begin(), clients.end(), has_come));
    for (auto& publisher : publishers) publisher.publish({.data = "x"});
    net::post(loop.context(), [&, rounds] { publish_to_all(rounds - 1); });
  };
  loop.run_on([&] { publish_to_all(100); });
  CHECK(reached.get_future().get() == 40);
}
