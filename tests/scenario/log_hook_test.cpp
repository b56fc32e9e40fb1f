#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// What a log hook was told.
class Book {
 public:
  void write(const LogEntry& entry) {
    const std::lock_guard guard(mutex_);
    entries_.push_back(entry);
  }
  std::vector<LogEntry> all() const {
    const std::lock_guard guard(mutex_);
    return entries_;
  }
  /// The only entry, once there is one.
  LogEntry only() const {
    if (!eventually([this] { return !all().empty(); })) throw std::runtime_error("nothing was logged");
    const auto entries = all();
    if (entries.size() > 1) throw std::runtime_error("also: " + entries[1].text);
    return entries.front();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<LogEntry> entries_;
};

struct Logged : ServedAll {
  explicit Logged(Book& book, EndpointOptions options = {}, ChannelOptions channel_options = {})
      : ServedAll(std::move(options), std::move(channel_options)) {
    server.on_log([&book](const LogEntry& entry) { book.write(entry); });
  }
  bool ended(EndReason reason) {
    INFO(name_of(reason));
    return eventually([&] { return server.stats().ended[reason] == 1; });
  }
};

}  // namespace

TEST_CASE("a refused request is logged with its status, its path without the query, and its client",
          "[scenario][log]") {
  Book book;
  Logged s(book, {.max_connections = 1});
  s.start();
  CHECK(s.get("/nothing?access_token=secret").status == 404);
  auto entry = book.only();
  CHECK(entry.level == LogLevel::info);
  CHECK(name_of(entry.event) == "request_refused");
  CHECK(entry.status == 404);
  CHECK(entry.path == "/nothing");
  CHECK(entry.remote_address == "127.0.0.1");
  CHECK(entry.text == "nothing is at this path");
  CHECK_FALSE(entry.reason);
  CHECK_FALSE(entry.error);
  REQUIRE(s.connections(0));

  SseClient there(s.port(), "/c");
  CHECK(s.get().status == 503);
  REQUIRE(s.connections(1));
  CHECK(s.get("/c", "Accept: text/event-stream\r\n").status == 200);  // refused all the same
  const auto entries = book.all();
  REQUIRE(entries.size() == 3);
  for (const auto& over : {entries[1], entries[2]}) {
    CHECK(over.level == LogLevel::warning);
    CHECK(over.event == LogEvent::request_refused);
    CHECK(over.status == 503);
    CHECK(over.path == "/c");
  }
}

TEST_CASE("a handler that throws is logged with what it threw, whichever it is", "[scenario][log]") {
  Book book;
  Logged s(book);
  const std::string which = GENERATE("authorize", "post", "message", "subscribe", "unsubscribe", "fallback", "int");
  const auto fail = [&](const std::string& handler) {
    if (which == handler) throw std::runtime_error("from " + handler);
  };
  s.server.authorize([&](const RequestHead&) {
    fail("authorize");
    return allow();
  });
  s.server.on_message("/c", [&](Peer, Inbound in) {
    fail(in.by_post ? "post" : "message");
    if (which == "int") throw 1;
  });
  s.server.on_subscribe([&](Peer) { fail("subscribe"); });
  s.server.on_unsubscribe([&](Peer, EndReason) { fail("unsubscribe"); });
  s.server.fallback([&](HttpRequest) {
    fail("fallback");
    return HttpResponse{};
  });
  s.start();
  if (which == "authorize" || which == "fallback") {
    CHECK(s.get(which == "fallback" ? "/other" : "/c").status == 500);
  } else if (which == "post") {
    CHECK(s.post("x").status == 500);
  } else {
    WebSocketClient client(s.port(), "/c");
    if (which == "message" || which == "int") client.send_text("x");
    if (which == "unsubscribe") {
      client.connection().reset();
    } else {
      CHECK(client.closes().close_code() == 1011);
      CHECK(s.ended(EndReason::internal_error));
    }
  }
  REQUIRE(eventually([&] { return s.server.stats().handler_failures == 1; }));
  REQUIRE(eventually([&] { return !book.all().empty(); }));
  const auto entry = book.all().front();
  CHECK(entry.level == LogLevel::error);
  CHECK(name_of(entry.event) == "handler_failed");
  CHECK(entry.text == (which == "int" ? "something that is no std::exception" : "from " + which));
  CHECK(entry.path == (which == "fallback" ? "/other" : "/c"));
  // A request that is refused for it is told of too.
  const bool refused = which == "authorize" || which == "fallback" || which == "post";
  CHECK(book.all().size() == (refused ? 2 : 1));
}

TEST_CASE("each way in which a stream ends is counted, and logged where somebody is at fault",
          "[scenario][log][stats]") {
  Book book;
  struct Case {
    EndReason reason;
    std::string frame;
    std::optional<LogEvent> event;
  };
  const auto given =
      GENERATE(Case{EndReason::protocol_error, client_frame(ws_text, "x", {.masked = false}), LogEvent::protocol_error},
               Case{EndReason::not_utf8, client_frame(ws_text, "\xff"), LogEvent::protocol_error},
               Case{EndReason::too_big, client_frame(ws_text, std::string(2000, 'x')), LogEvent::protocol_error},
               Case{EndReason::refused, client_frame(ws_text, "x"), std::nullopt},
               Case{EndReason::peer_left, client_frame(ws_close, close_payload(1000)), std::nullopt},
               Case{EndReason::channel_closed, {}, std::nullopt},
               Case{EndReason::authorization_expired, client_frame(ws_ping, "x"), std::nullopt},
               Case{EndReason::timed_out, client_frame(ws_ping, "x"), LogEvent::stream_dropped});
  INFO(name_of(given.reason));
  Logged s(book, {.stream = {.heartbeat = given.reason == EndReason::timed_out ? 100ms : 1h}, .max_message = 1000});
  if (given.reason == EndReason::authorization_expired) {
    s.server.authorize([](const RequestHead&) { return allow("a", {}, 100ms); });
  }
  s.start();
  WebSocketClient client(s.port(), "/c");
  client.connection().send(given.frame);
  if (given.reason == EndReason::channel_closed) s.channel.close();
  CHECK(s.ended(given.reason));
  CHECK(s.server.stats().subscribers[TransportKind::websocket] == 0);
  if (!given.event) {
    CHECK(book.all().empty());
    return;
  }
  const auto entry = book.only();
  CHECK(entry.event == *given.event);
  CHECK(entry.level == (entry.event == LogEvent::stream_dropped ? LogLevel::warning : LogLevel::info));
  CHECK(entry.reason == given.reason);
  CHECK(entry.remote_address == "127.0.0.1");
  CHECK_FALSE(entry.text.empty());
}

TEST_CASE("streams that are too slow, or take nothing in time, are logged as dropped", "[scenario][log][WIRE-7]") {
  Book book;
  const bool lags = GENERATE(true, false);
  // Neither may strike in the other's case; but whoever was dropped for its lag takes no last bytes either.
  Logged s(book, {.stream = {.write_timeout = 300ms}}, {.max_lag = lags ? std::size_t{1} << 20 : std::size_t{1} << 30});
  s.start();
  SseClient client(slow_connection(s.port()), "/c");
  client.open();
  // It has begun to receive the first one, which it never finishes.
  s.publish(std::string(std::size_t{8} << 20, 'x'));
  REQUIRE(eventually([&] { return s.server.stats().messages_sent == 1; }));
  for (int i = 0; i < 4; ++i) s.publish(std::string(std::size_t{1} << 20, 'x'));
  const auto reason = lags ? EndReason::too_slow : EndReason::timed_out;
  CHECK(s.ended(reason));
  const auto entry = book.only();
  CHECK(name_of(entry.event) == "stream_dropped");
  CHECK(entry.level == LogLevel::warning);
  CHECK(entry.reason == reason);
  CHECK(eventually([&] { return s.server.stats().write_timeouts == 1; }));
  CHECK(s.channel.stats().drops == (lags ? 1 : 0));
  REQUIRE(s.connections(0));
  CHECK(s.server.stats().ended[EndReason::timed_out] == (lags ? 0 : 1));
}

TEST_CASE("an answer that nobody takes in time is a write time-out", "[scenario][stats]") {
  ServedAll s({.stream = {.write_timeout = 200ms}}, {}, {.start = DefaultStart::earliest});
  s.start();
  s.publish(std::string(std::size_t{8} << 20, 'x'));
  auto slow = slow_connection(s.port());
  slow.send(request_text("GET", "/c"));
  CHECK(eventually([&] { return s.server.stats().write_timeouts == 1; }));
}

TEST_CASE("an accept that fails is counted and logged with the system's error", "[scenario][log][stats]") {
  Book book;
  Logged s(book);
  s.start();
  s.loop.run_on([] {});  // it listens
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(client >= 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(s.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = ::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool counted = eventually([&] { return s.server.stats().accept_errors > 0; });
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(connected == 0);
  CHECK(counted);
  CHECK(s.connections(1));
  CHECK(s.server.stats().accepted == 1);
  const auto entry = book.all().at(0);
  CHECK(name_of(entry.event) == "accept_failed");
  CHECK(entry.level == LogLevel::error);
  CHECK(entry.error.value() == EMFILE);
  CHECK(entry.text == entry.error.message());
  ::close(client);
}

TEST_CASE("draining is logged when it begins and when it is over", "[scenario][log][WIRE-9]") {
  Book book;
  Logged s(book);
  s.start();
  SseClient client(s.port(), "/c");
  client.open();
  std::promise<std::size_t> done;
  s.server.async_drain(2s, [&] { done.set_value(book.all().size()); });
  CHECK(client.ends());
  auto drained = done.get_future();
  REQUIRE(drained.wait_for(patience) == std::future_status::ready);
  CHECK(drained.get() == 2);
  CHECK(name_of(book.all()[0].event) == "drain_began");
  CHECK(name_of(book.all()[1].event) == "drain_ended");
  CHECK(s.server.stats().ended[EndReason::shutdown] == 1);
}

TEST_CASE("what a log hook throws is dropped, and the server goes on", "[scenario][log]") {
  ServedAll s;
  s.server.on_log([](const LogEntry&) { throw std::runtime_error("thrown"); });
  s.start();
  auto connection = s.connect();
  for (int i = 0; i < 3; ++i) {
    connection.send(request_text("GET", "/nothing"));
    CHECK(connection.read_response().status == 404);
  }
}
