#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
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

using EveryServer = Server<WebSocket, Sse, LongPolling, ShortPolling>;

/// Throws what is no exception too.
void fail(bool standard) {
  if (standard) throw std::runtime_error("no");
  throw 1;
}

/// A transport of the application's that can't send everything.
struct Fragile {
  static constexpr std::string_view name = "fragile";
  static constexpr std::string_view content_type = "text/plain";
  static bool claims(const RequestHead&) {
    if (fails_at == 'c') throw std::runtime_error("can't claim");
    return true;
  }
  static void encode(std::string& out, const MessageView& message) {
    out.append(message.data).append("\n");
    if (message.data == "poison") throw std::runtime_error("can't be encoded");
  }
  static void open(std::string& out, const Opening&) {
    out += "open\n";
    if (fails_at == 'o') throw std::runtime_error("can't be opened");
  }
  static void gap(std::string& out, const GapNotice&) {
    out += "gap\n";
    if (fails_at == 'g') throw std::runtime_error("no gaps");
  }
  static void heartbeat(std::string& out) {
    out += "beat\n";
    if (fails_at == 'h') throw std::runtime_error("no heartbeats");
  }
  static void end(std::string& out, const Ending&) {
    out += "end\n";
    if (fails_at == 'e') throw std::runtime_error("no end");
  }
  static inline std::atomic<char> fails_at = 0;
};

/// A server of it, with a second channel at `/other`, that keeps what its log is told.
struct FragileServer {
  explicit FragileServer(std::chrono::milliseconds heartbeat = 30s) : served({.stream = {.heartbeat = heartbeat}}) {
    Fragile::fails_at = 0;
    served.server.route("/other", other);
    served.server.on_log([this](const LogEntry& entry) {
      const std::lock_guard guard(mutex);
      if (entry.event == LogEvent::handler_failed) told.push_back(entry.text);
    });
    served.start();
  }
  testing::Connection open(const std::string& target) {
    auto client = served.connect();
    client.send(request_text("GET", target));
    client.read_until("open\n");
    return client;
  }
  std::vector<std::string> log() {
    const std::lock_guard guard(mutex);
    return told;
  }
  std::uint64_t failed() { return served.server.stats().ended[EndReason::internal_error]; }

  std::mutex mutex;
  std::vector<std::string> told;
  Channel other;
  Served<Fragile> served;
};

/// Runs a loop on a thread of its own until it is told to finish, however often somebody stops it.
class Stopped {
 public:
  explicit Stopped(net::io_context& io)
      : io_(io), work_(net::require(io.get_executor(), net::execution::outstanding_work.tracked)), thread_([this] {
          while (!finished_) {
            io_.run();
            ++stops;
            io_.restart();
          }
          ended_ = true;
        }) {}
  ~Stopped() {
    finished_ = true;
    // A stop right before the restart is lost.
    while (!ended_) {
      io_.stop();
      std::this_thread::yield();
    }
    thread_.join();
  }
  std::atomic<int> stops = 0;

 private:
  net::io_context& io_;
  net::any_io_executor work_;
  std::atomic<bool> finished_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a transport that can't say whether a request is its own costs that request", "[scenario][DESIGN-3.8]") {
  FragileServer test;
  auto good = test.open("/c");
  Fragile::fails_at = 'c';
  auto client = test.served.connect();
  for (int i = 0; i < 2; ++i) {
    client.send(request_text("GET", "/c"));
    CHECK(client.read_response().status == 500);
  }
  CHECK(test.log() == std::vector<std::string>(2, "can't claim"));
  Fragile::fails_at = 0;
  test.served.publish("x");
  CHECK_NOTHROW(good.read_until("x\n"));
  client.close();
  CHECK(test.served.connections(1));
}

TEST_CASE("on_subscribe that throws ends that one stream", "[scenario][DESIGN-3.8]") {
  const bool standard = GENERATE(true, false);
  std::atomic<int> failures = 0;
  ServedAll served;
  served.server.on_subscribe([standard](const Peer& peer) {
    if (peer.identity().subject == "bad") fail(standard);
  });
  served.server.on_unsubscribe([&](const Peer&, EndReason reason) {
    if (reason == EndReason::internal_error) ++failures;
  });
  served.server.authorize(
      [](const RequestHead& head) { return allow(std::string(head.header("X-Who").value_or(""))); });
  served.start();
  SseClient good(served.port(), "/c");
  good.open();
  CHECK(SseClient(served.port(), "/c", "X-Who: bad\r\n").ends());
  CHECK(WebSocketClient(served.port(), "/c", "X-Who: bad\r\n").closes().close_code() == 1011);
  CHECK(eventually([&] { return failures == 2; }));
  const auto id = served.publish("x");
  CHECK(good.next_event().id == id);
  CHECK(served.subscribers(1));
}

TEST_CASE("on_unsubscribe that throws hurts nobody", "[scenario][DESIGN-3.8]") {
  const bool standard = GENERATE(true, false);
  std::atomic<int> calls = 0;
  ServedAll served;
  served.server.on_unsubscribe([&calls, standard](const Peer&, EndReason) {
    ++calls;
    fail(standard);
  });
  served.start();
  SseClient good(served.port(), "/c");
  good.open();
  {
    SseClient gone(served.port(), "/c");
    gone.open();
    gone.connection().reset();
    WebSocketClient closing(served.port(), "/c");
    closing.send_close(1000);
    CHECK(closing.closes().close_code() == 1000);
  }
  CHECK(eventually([&] { return calls == 2; }));
  const auto id = served.publish("x");
  CHECK(good.next_event().id == id);
  served.channel.close();
  CHECK(good.ends());
  CHECK(eventually([&] { return calls == 3; }));
  CHECK(served.subscribers(0));
  good.connection().close();
  CHECK(served.connections(0));
}

TEST_CASE("a message that its transport can't encode ends the streams that come to it, behind what precedes it",
          "[scenario][DESIGN-3.8]") {
  FragileServer server;
  auto& served = server.served;
  auto first = server.open("/c");
  auto second = server.open("/c");
  auto other = server.open("/other");
  REQUIRE(served.subscribers(2));
  served.loop.run_on([&] {
    served.publish("before");
    served.publish("poison");
  });
  for (auto* client : {&first, &second}) {
    client->read_until("before\n");
    CHECK(client->read_until("0\r\n\r\n").find("poison") == std::string::npos);
  }
  CHECK(served.subscribers(0));
  CHECK(eventually([&] { return server.failed() == 2; }));
  CHECK(server.log() == std::vector<std::string>(2, "can't be encoded"));

  auto behind = server.open("/c");
  REQUIRE(served.subscribers(1));
  served.loop.run_on([&] { served.publish("after"); });
  behind.read_until("after\n");
  Publisher(server.other).publish({.data = "news"});
  other.read_until("news\n");
}

TEST_CASE(
    "a transport whose opening, gap notice, heartbeat or end throws ends that one stream, with nothing of it sent",
    "[scenario][DESIGN-3.8]") {
  const auto [what, bytes] =
      GENERATE(table<char, std::string>({{'o', "open"}, {'g', "gap"}, {'h', "beat"}, {'e', "end"}}));
  FragileServer server(200ms);
  Fragile::fails_at = what;
  auto client = server.served.connect();
  client.send(request_text("GET", what == 'g' ? "/c?cursor=another-1" : "/c"));
  if (what == 'e') {
    REQUIRE(server.served.subscribers(1));
    server.served.channel.close();
  }
  const std::string sent = client.read_to_end();
  Fragile::fails_at = 0;
  CHECK(sent.starts_with("HTTP/1.1 200"));
  CHECK(sent.find(bytes) == std::string::npos);
  CHECK(server.log().size() == 1);
  CHECK(server.failed() == (what == 'e' ? 0 : 1));
  auto other = server.open("/other");
  Publisher(server.other).publish({.data = "news"});
  other.read_until("news\n");
}

TEST_CASE("a fallback that throws, at once or before it gives its awaitable, is 500 and the connection goes on",
          "[scenario][DESIGN-3.8]") {
  const bool standard = GENERATE(true, false);
  ServedAll served;
  if (GENERATE(true, false)) {
    served.server.fallback([standard](HttpRequest) {
      fail(standard);
      return HttpResponse{};
    });
  } else {
    served.server.fallback([standard](HttpRequest) -> net::awaitable<HttpResponse> {
      fail(standard);
      return []() -> net::awaitable<HttpResponse> { co_return HttpResponse{}; }();
    });
  }
  served.start();
  auto client = served.connect();
  client.send(request_text("GET", "/page") + request_text("POST", "/page", {}, "x") + request_text("GET", "/c"));
  CHECK(client.read_response().status == 500);
  CHECK(client.read_response().status == 500);
  CHECK(client.read_response().status == 200);
}

TEST_CASE("what is published through a closed channel is an error from inside every handler too",
          "[scenario][DESIGN-4]") {
  std::atomic<int> refused = 0;
  std::atomic<bool> came = false;
  ServedAll served;
  const auto publish = [&] {
    if (served.publisher.publish({.data = "late"}).error() == make_error_code(errc::channel_closed)) ++refused;
  };
  served.server.on_subscribe([&](const Peer&) {
    publish();  // before the close
    came = true;
  });
  served.server.on_unsubscribe([&](const Peer&, EndReason) { publish(); });
  served.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<Reply> {
    publish();
    Message late{.data = "late"};  // named: GCC 12 destroys such temporaries twice
    try {
      co_await served.publisher.async_publish(std::move(late), net::use_awaitable);
    } catch (const system_error& error) {
      if (error.code() == make_error_code(errc::channel_closed)) ++refused;
    }
    co_return Message{.data = "done"};
  });
  served.start();
  SseClient open_before(served.port(), "/c");
  open_before.open();
  REQUIRE(eventually([&] { return came.load(); }));
  served.channel.close();
  CHECK(open_before.ends());
  CHECK(served.post("x").body == "done");
  CHECK(eventually([&] { return refused == 3; }));
}

TEST_CASE("a loop that its owner stops again and again loses nothing", "[scenario][DESIGN-3.9]") {
  const bool one_thread = GENERATE(true, false);
  Channel channel;
  const Publisher publisher(channel);
  net::io_context io(1);
  EveryServer server(io, {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  server.on_message("/c", [&io](Peer, Inbound message) -> Reply {
    io.stop();  // by the application, in the middle of a turn
    return Message{.data = message.data};
  });
  server.start();
  Stopped loop(io);
  SseClient sse(server.port(), "/c");
  sse.open();
  WebSocketClient ws(server.port(), "/c", WebSocketClient::v1);
  ws.open();
  Connection held(server.port(), 20s);
  for (int round = 0; round < 100; ++round) {
    held.send(request_text("GET", "/c?wait=60"));
    ws.send_text("stop");
    CHECK(ws.next_v1().data == "stop");
    REQUIRE(eventually([&] { return channel.subscriber_count() == 3; }));
    io.stop();
    const auto id = publisher.publish({.data = std::to_string(round)}).value().to_string();
    io.stop();
    REQUIRE(sse.next_event().id == id);
    REQUIRE(ws.next_v1().id == id);
    REQUIRE(held.read_response().body.find(id) != std::string::npos);
  }
  CHECK(loop.stops >= 100);
}

TEST_CASE("what fell due while the loop was stopped comes after its restart", "[scenario][DESIGN-3.9]") {
  Channel channel;
  net::io_context io(1);
  EveryServer server(io, {.endpoint = {.stream = {.heartbeat = 200ms}}});
  server.route("/c", channel);
  server.start();
  const auto work = net::require(io.get_executor(), net::execution::outstanding_work.tracked);
  std::thread first([&] { io.run(); });
  SseClient sse(server.port(), "/c");
  sse.open();
  Connection held(server.port(), 20s);
  held.send(request_text("GET", "/c?wait=0.2"));
  CHECK(eventually([&] { return channel.subscriber_count() == 2; }));
  io.stop();
  first.join();
  // The time that both wait for; nothing comes by itself.
  CHECK(held.wait_for_end(300ms) == Connection::End::open);
  io.restart();
  std::thread second([&] { io.run(); });
  CHECK(held.read_response().status == 200);
  CHECK(sse.next_item().kind == SseItem::Kind::comment);
  io.stop();
  second.join();
}
