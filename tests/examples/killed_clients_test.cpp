#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"
#include "support/prometheus.hpp"
#include "support/sanitized.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

const std::string path = "/channels/news";

/// A client in a process of its own, which nothing but SIGKILL ends.
class KilledClient {
 public:
  explicit KilledClient(const std::function<void()>& does) : process_(::fork()) {
    if (process_ < 0) throw std::runtime_error("fork");
    if (process_ > 0) return;
    while (true) {
      try {
        does();
      } catch (...) {  // what the server ended is begun again
      }
    }
  }
  KilledClient(const KilledClient&) = delete;
  ~KilledClient() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

 private:
  pid_t process_;
};

void read_events(std::uint16_t port) {
  for (SseClient client(port, path, "Last-Event-ID: earliest\r\n");;) client.next_event();
}
void talk(std::uint16_t port) {
  WebSocketClient client(port, "/channels/other", WebSocketClient::v1);
  while (true) {
    client.send(ws_binary, std::string(100'000, 'w'));
    client.next_message();
  }
}
void poll(std::uint16_t port, bool wait) {
  for (Connection connection(port, 20s);;) {
    connection.send(request_text("GET", path + (wait ? "?wait=5" : "?cursor=earliest")));
    connection.read_response();
  }
}
void post_slowly(std::uint16_t port) {
  Connection connection(port, 20s);
  connection.send("POST /channels/other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
  while (true) connection.send("x");
}

}  // namespace

TEST_CASE("clients that are killed at any time leave the others every message, and nothing behind",
          "[examples][hub][wire-9]") {
  ExampleProgram hub("hub", {"--port", "0", "--telemetry", "off", "--history", "100000", "--deflate"});
  const auto port = hub.port();
  SseClient events(port, path);
  events.open();
  WebSocketClient socket(port, path, WebSocketClient::v1);
  socket.open();
  const auto figure = [&](const char* name) { return PrometheusText(get(port, "/metrics").body)[name]; };
  const auto descriptors = figure("process_open_fds");

  std::minstd_rand random(9);
  unsigned published = 0;
  for (int round = 0; round < (sanitized ? 8 : 50); ++round) {
    const KilledClient clients[] = {KilledClient([&] { read_events(port); }), KilledClient([&] { talk(port); }),
                                    KilledClient([&] { poll(port, true); }), KilledClient([&] { poll(port, false); }),
                                    KilledClient([&] { post_slowly(port); })};
    const auto messages = random() % 40;
    for (unsigned i = 0; i < messages; ++i) REQUIRE(post(port, path, std::to_string(published++)).status == 202);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));  // killed anywhere in what they do
  }
  for (unsigned i = 0; i < published; ++i) {
    INFO("message " << i << " of " << published);
    REQUIRE(events.next_event().data == std::to_string(i));
    REQUIRE(socket.next_v1().data == std::to_string(i));
  }
  CHECK(eventually([&] { return figure("downlink_connections") == 3; }));  // with the one that asks
  CHECK(eventually([&] { return figure("process_open_fds") <= descriptors; }));
  CHECK(figure("downlink_subscribers") == 2);
}
