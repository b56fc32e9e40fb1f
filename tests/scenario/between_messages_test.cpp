#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("pongs and replies go between a channel's messages, each whole and in its order",
          "[scenario][WIRE-6][DESIGN-3.4]") {
  ServedAll served({}, {.max_lag = std::size_t{64} << 20});
  served.server.on_message("/c", [](const Peer&, const Inbound& in) { return Message{.data = in.data}; });
  served.start();
  WebSocketClient client(slow_connection(served.port()), "/c");
  REQUIRE(served.subscribers(1));
  constexpr int count = 60;
  std::jthread publishing([&] {
    for (int i = 0; i < count; ++i) served.publish("m" + std::to_string(i) + std::string(100'000, 'm'));
  });
  for (int i = 0; i < count; ++i) {
    client.send(ws_ping, "p" + std::to_string(i));
    client.send_text("r" + std::to_string(i) + std::string(2000, 'r'));
  }
  int pongs = 0;
  int replies = 0;
  int messages = 0;
  while (pongs + replies + messages < 3 * count) {
    const auto frame = client.next_frame();
    REQUIRE(frame.fin);
    if (frame.opcode == ws_pong) {
      REQUIRE(frame.payload == "p" + std::to_string(pongs++));
    } else if (frame.payload.starts_with('r')) {
      REQUIRE((frame.payload == "r" + std::to_string(replies++) + std::string(2000, 'r')));
    } else {
      REQUIRE((frame.payload == "m" + std::to_string(messages++) + std::string(100'000, 'm')));
    }
  }
  CHECK(pongs == count);
  CHECK(replies == count);
}

TEST_CASE("a peer is not dropped for silence while its own message is being handled", "[scenario][WIRE-5]") {
  std::atomic<int> done{0};
  ServedAll served({.stream = {.heartbeat = 500ms}});
  served.server.on_message("/c", [&](Peer, Inbound in) -> net::awaitable<Reply> {
    net::steady_timer timer(co_await net::this_coro::executor, 1300ms);
    co_await timer.async_wait(net::use_awaitable);
    ++done;
    co_return Message{.data = in.data};
  });
  served.start();
  WebSocketClient client(served.port(), "/c");
  client.send_text("slow");
  // It answers the pings that come meanwhile.
  CHECK(client.next_message().payload == "slow");
  CHECK(done == 1);
}

TEST_CASE("what is sent after a quiet time has the whole write deadline, also where it is the last",
          "[scenario][WIRE-9]") {
  std::promise<Peer> subscribed;
  ServedAll served({.stream = {.heartbeat = 20s, .write_timeout = 1s}});
  served.server.on_subscribe([&](Peer peer) { subscribed.set_value(peer); });
  served.start();
  WebSocketClient client(slow_connection(served.port(), 8 << 10), "/c");
  const auto peer = subscribed.get_future().get();
  std::this_thread::sleep_for(1200ms);  // longer than the deadline
  const std::string last(1'000'000, 'x');
  served.loop.run_on([&] {
    peer.send({.data = last});
    peer.close();
  });
  std::this_thread::sleep_for(400ms);
  CHECK((client.next_message().payload == last));
  CHECK(client.closes().close_code() == 1008);
}

TEST_CASE("a held poll is answered when its authorization expires", "[scenario][WIRE-8]") {
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return allow("ann", {}, 50ms); });
  served.start();
  const auto id = served.publish("before");
  const auto answer = served.get("/c?wait=30&cursor=" + id);  // the client itself waits for five seconds
  CHECK(answer.status == 200);
  CHECK(answer.body == R"({"cursor":")" + id + R"(","messages":[]})");
}

TEST_CASE("an answer of the fallback without content has no length", "[scenario][RFC9110-8.6]") {
  ServedAll served;
  served.server.fallback([](const HttpRequest&) { return HttpResponse{.status = 204}; });
  served.start();
  auto client = served.connect();
  client.send(request_text("GET", "/x") + request_text("GET", "/c"));
  const auto answer = client.read_response();
  CHECK(answer.status == 204);
  CHECK(answer.count("Content-Length") == 0);
  CHECK(client.read_response().status == 200);
}
