#if defined(__linux__)

#include <linux/filter.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// From here on the client's kernel sees nothing of what the server sends, and so acknowledges none of it.
void cut_off(const Connection& connection) {
  sock_filter drop_all[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  const sock_fprog program{1, drop_all};
  REQUIRE(::setsockopt(connection.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

}  // namespace

TEST_CASE("a peer whose packets are dropped is gone within three heartbeats, and nobody else notices",
          "[scenario][DESIGN-3.5][WIRE-5]") {
  constexpr auto heartbeat = 1000ms;
  constexpr auto late = 500ms;  // for a machine with other things to do
  Served<WebSocket, Sse> served({.stream = {.heartbeat = heartbeat}});
  served.start();
  SseClient near(served.port(), "/c");
  near.open();
  const bool over_sse = GENERATE(true, false);
  const bool publishing = GENERATE(true, false);
  std::optional<SseClient> sse;
  std::optional<WebSocketClient> websocket;
  if (over_sse) {
    sse.emplace(served.port(), "/c").open();
  } else {
    websocket.emplace(served.port(), "/c");
  }
  REQUIRE(served.subscribers(2));
  cut_off(over_sse ? sse->connection() : websocket->connection());
  const auto begin = std::chrono::steady_clock::now();
  CHECK(eventually(
      [&] {
        if (publishing) {
          served.publish("x");
          CHECK(near.next_event().data == "x");
        }
        return served.channel.subscriber_count() == 1;
      },
      3 * heartbeat + late));
  CAPTURE(over_sse, publishing, (std::chrono::steady_clock::now() - begin) / 1ms);
  CHECK(served.connections(1));
  served.publish("still here");
  CHECK(near.next_event().data == "still here");
}

#endif
