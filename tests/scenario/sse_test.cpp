#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

struct SseServer {
  explicit SseServer(ChannelOptions channel_options = {}, EndpointOptions endpoint = {}, RouteOptions route = {})
      : channel(std::move(channel_options)), publisher(channel), server(loop.context(), {.endpoint = endpoint}) {
    server.route("/c", channel, route);
  }
  std::uint16_t start() {
    server.start();
    return server.port();
  }
  std::string publish(Message message) { return publisher.publish(std::move(message)).value().to_string(); }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Server<Sse> server;
};

}  // namespace

TEST_CASE("an event stream has the headers that browsers and proxies need", "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c");
  const auto& head = client.head();
  CHECK(head.status == 200);
  CHECK(head.header("Content-Type") == "text/event-stream");
  CHECK(head.header("Cache-Control") == "no-cache, no-transform");
  CHECK(head.header("X-Accel-Buffering") == "no");
  CHECK(head.header("Connection") == "keep-alive");
  CHECK(head.header("Transfer-Encoding") == "chunked");
  CHECK(head.header("Date"));
  CHECK_FALSE(head.header("Content-Length"));
}

TEST_CASE("the first bytes come at once: retry, a comment, and the opening with the cursor and one empty data line",
          "[scenario][WIRE-4]") {
  SseServer s({}, {.stream = {.retry = 1234ms}});
  const auto last = s.publish({.data = "before"});
  SseClient client(s.start(), "/c");
  const auto retry = client.next_item();
  CHECK(retry.kind == SseItem::Kind::retry);
  CHECK(retry.retry == 1234);
  CHECK(client.next_item().kind == SseItem::Kind::comment);
  const auto open = client.next_item();
  CHECK(open.raw == "id: " + last + "\nevent: downlink.open\ndata: \n\n");

  // A client that lost the stream before its first message resumes from there.
  client.connection().reset();
  const auto next = s.publish({.data = "after"});
  SseClient again(s.server.port(), "/c", cursor_header(*open.id));
  CHECK(again.open().id == last);
  CHECK(again.next_event().id == next);
}

TEST_CASE("each message is an event with its id, its event's name and a data line for every line of the payload",
          "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c");
  client.open();
  const auto check = [&](Message message, const std::string& fields) {
    const auto id = s.publish(std::move(message));
    CHECK(client.next_event().raw == "id: " + id + "\n" + fields + "\n");
  };
  check({.data = "one line"}, "data: one line\n");
  check({.data = ""}, "data: \n");
  check({.data = "a\nb"}, "data: a\ndata: b\n");
  check({.data = "a\rb"}, "data: a\ndata: b\n");
  check({.data = "a\r\nb"}, "data: a\ndata: b\n");
  check({.data = "a\n\rb"}, "data: a\ndata: \ndata: b\n");
  check({.data = "\r\r\n\n"}, "data: \ndata: \ndata: \ndata: \n");
  check({.data = "end\n"}, "data: end\ndata: \n");
  check({.data = " leading"}, "data:  leading\n");
  check({.data = "id: 7\n\nevent: x"}, "data: id: 7\ndata: \ndata: event: x\n");
  check({.data = "x", .event = "price"}, "event: price\ndata: x\n");
  check({.data = "x", .event = "message"}, "data: x\n");
  check({.data = "h\xC3\xA9\xE2\x98\x83"}, "data: h\xC3\xA9\xE2\x98\x83\n");
  check({.data = std::string("\0\xFF\n", 3), .binary = true}, "event: message;base64\ndata: AP8K\n");
  check({.data = "", .binary = true}, "event: message;base64\ndata: \n");
  check({.data = "hi", .event = "blob", .binary = true}, "event: blob;base64\ndata: aGk=\n");
}

TEST_CASE("a cursor that the log can't serve opens without an id, then tells of the gap",
          "[scenario][WIRE-1][WIRE-4]") {
  SseServer s({.history = {.max_messages = 2}});
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(s.publish({.data = std::to_string(i)}));
  const auto port = s.start();
  const std::string lost = GENERATE("evicted", "unknown", "future");
  const std::string cursor = lost == "evicted"   ? ids[0]
                             : lost == "unknown" ? std::string("not.ours_1")
                                                 : ids[4].substr(0, ids[4].find('-')) + "-99";
  SseClient client(port, "/c", cursor_header(cursor));
  const auto open = client.open();
  CHECK_FALSE(open.id);
  CHECK(open.raw == "event: downlink.open\ndata: \n\n");
  const auto gap = client.next_event();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.id == ids[2]);
  CHECK(gap.data == R"({"requested":")" + cursor + R"(","earliest":")" + ids[3] + R"("})");
  CHECK(client.next_event().id == ids[3]);
  CHECK(client.next_event().id == ids[4]);

  SseClient exact(port, "/c", cursor_header(ids[2]));
  CHECK(exact.open().id == ids[2]);
  CHECK(exact.next_event().id == ids[3]);
}

TEST_CASE("with a gap and nothing retained, earliest is the cursor", "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c", cursor_header("other-3"));
  CHECK_FALSE(client.open().id);
  const auto gap = client.next_event();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.id == s.channel.latest().to_string());
  CHECK(gap.data == R"({"requested":"other-3","earliest":")" + *gap.id + R"("})");
  const auto first = s.publish({.data = "x"});
  CHECK(client.next_event().id == first);
}

TEST_CASE("a stream starts where the request says", "[scenario][WIRE-1]") {
  SseServer s;
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(s.publish({.data = std::to_string(i)}));
  const auto port = s.start();
  const auto first = [&](const std::string& target, const std::string& headers = {}) {
    SseClient client(port, target, headers);
    client.open();
    return client.next_event().id.value();
  };
  CHECK(first("/c?cursor=earliest") == ids[0]);
  CHECK(first("/c?cursor=" + ids[1]) == ids[2]);
  CHECK(first("/c?lastEventId=" + ids[0]) == ids[1]);
  CHECK(first("/c?history=1") == ids[3]);
  CHECK(first("/c?history=99") == ids[0]);
  CHECK(first("/c?cursor=" + ids[0] + "&history=1") == ids[1]);
  CHECK(first("/c?cursor=" + ids[0], cursor_header(ids[2])) == ids[3]);
  CHECK(first("/c?cursor=" + ids[2], "Last-Event-ID: \r\n") == ids[3]);
  SseClient latest(port, "/c?cursor=latest");
  CHECK(latest.open().id == ids[3]);
  CHECK(get(port, "/c?cursor=a%20b").status == 400);
  CHECK(get(port, "/c?history=x").status == 400);
}

TEST_CASE("a heartbeat comes in every interval in which nothing else was sent", "[scenario][WIRE-4]") {
  SseServer s({}, {.stream = {.heartbeat = 40ms}});
  SseClient client(s.start(), "/c");
  client.open();
  for (int i = 0; i < 3; ++i) CHECK(client.next_item().kind == SseItem::Kind::comment);
}

TEST_CASE("no heartbeat comes while messages do", "[scenario][WIRE-4]") {
  // On a machine that stands still for an interval a heartbeat is right: one quiet run of several will do.
  bool quiet = false;
  for (int attempt = 0; attempt < 10 && !quiet; ++attempt) {
    SseServer s({}, {.stream = {.heartbeat = 160ms}});
    SseClient client(s.start(), "/c");
    client.open();
    const auto before = client.comments();
    for (int i = 0; i < 20; ++i) {
      s.publish({.data = "x"});
      client.next_event();
      std::this_thread::sleep_for(20ms);
    }
    s.publish({.data = "last"});
    client.next_event();
    quiet = client.comments() == before;
  }
  CHECK(quiet);
}

TEST_CASE("an HTTP/1.0 client gets the stream without chunks, ended by the close", "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c", {}, "1.0");
  CHECK(client.head().status == 200);
  CHECK_FALSE(client.head().header("Transfer-Encoding"));
  CHECK(client.head().header("Connection") != "keep-alive");
  client.open();
  const auto id = s.publish({.data = "x"});
  CHECK(client.next_event().raw == "id: " + id + "\ndata: x\n\n");
  s.channel.close();
  CHECK(client.ends());
  CHECK(client.rest().empty());
}

TEST_CASE("HEAD gives the stream's headers alone, and the connection goes on", "[scenario][WIRE-4]") {
  SseServer s;
  Connection connection(s.start());
  const std::string request = "HEAD /c HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
  connection.send(request + request);
  for (int i = 0; i < 2; ++i) {
    const auto head = connection.read_head();
    CHECK(head.status == 200);
    CHECK(head.header("Content-Type") == "text/event-stream");
    CHECK(head.header("Cache-Control") == "no-cache, no-transform");
  }
  CHECK(s.channel.subscriber_count() == 0);
  SseClient client(std::move(connection), "/c");
  client.open();
}

TEST_CASE("HEAD with Connection: close is told that the connection is closed", "[scenario][WIRE-4][RFC9112-9.6]") {
  SseServer s;
  Connection connection(s.start());
  connection.send("HEAD /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const auto head = connection.read_head();
  CHECK(head.status == 200);
  CHECK(head.header("Connection") == "close");
  CHECK(head.count("Connection") == 1);
  CHECK(head.header("Transfer-Encoding") == "chunked");
  CHECK(connection.read_to_end().empty());

  Connection stream(s.server.port());
  stream.send("GET /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  CHECK(stream.read_head().header("Connection") == "keep-alive");
}

TEST_CASE("a client's half-close, close or reset ends its stream", "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c");
  SseClient other(s.server.port(), "/c");
  client.open();
  other.open();
  CHECK(s.channel.subscriber_count() == 2);
  const int way = GENERATE(0, 1, 2);
  if (way == 0) {
    client.connection().half_close();
    CHECK(client.ends());
  } else if (way == 1) {
    client.connection().close();
  } else {
    client.connection().reset();
  }
  CHECK(eventually([&] { return s.channel.subscriber_count() == 1; }));
  CHECK(eventually([&] { return s.server.connection_count() == 1; }));
  const auto id = s.publish({.data = "x"});
  CHECK(other.next_event().id == id);
}

TEST_CASE("a client that has half-closed gets the message that it is being sent whole, and then the end",
          "[scenario][WIRE-4][WIRE-9]") {
  SseServer s;
  s.publish({.data = std::string(8'000'000, 'a')});
  s.publish({.data = "later"});
  SseClient client(slow_connection(s.start()), "/c?cursor=earliest");
  client.open();
  client.connection().half_close();
  CHECK(eventually([&] { return s.channel.subscriber_count() == 0; }));
  CHECK(client.ends());
  REQUIRE(client.rest().size() == 1);
  CHECK(client.rest().front().data.size() == 8'000'000);
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("what a client sends into its stream is passed over up to a bound, and past it the stream ends",
          "[scenario][WIRE-4]") {
  SseServer s({}, {.max_stray_bytes = 1000});
  SseClient client(s.start(), "/c");
  client.open();
  client.connection().send("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
  client.connection().send(std::string(900, 'x'));
  const auto id = s.publish({.data = "x"});
  CHECK(client.next_event().id == id);
  CHECK(s.channel.subscriber_count() == 1);
  client.connection().send(std::string(200, 'x'));
  CHECK(client.ends());
  CHECK(s.channel.subscriber_count() == 0);
}

TEST_CASE("closing the channel ends its streams with all messages and a last chunk", "[scenario][WIRE-4]") {
  SseServer s;
  SseClient client(s.start(), "/c");
  client.open();
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(s.publish({.data = std::string(1000, 'x')}));
  s.channel.close();
  CHECK_FALSE(s.publisher.publish({.data = "late"}));
  REQUIRE(client.ends());
  REQUIRE(client.rest().size() == ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(client.rest()[i].id == ids[i]);
  CHECK(eventually([&] { return s.channel.subscriber_count() == 0; }));

  SseClient late(s.server.port(), "/c?cursor=" + ids[18]);
  late.open();
  CHECK(late.next_event().id == ids[19]);
  CHECK(late.ends());
}

TEST_CASE("a direct reply comes without an id, whole, between the channel's messages", "[scenario][WIRE-4][WIRE-6]") {
  std::mutex mutex;
  std::vector<Peer> peers;
  SseServer s;
  s.server.on_subscribe([&](Peer peer) {
    const std::lock_guard guard(mutex);
    peers.push_back(peer);
  });
  SseClient client(s.start(), "/c");
  SseClient other(s.server.port(), "/c");
  const auto open = client.open();
  other.open();
  REQUIRE(eventually([&] {
    const std::lock_guard guard(mutex);
    return peers.size() == 2;
  }));
  const Peer peer = peers[0];
  CHECK(peer.identity().transport == TransportKind::sse);
  CHECK(peer.identity().path == "/c");

  CHECK_FALSE(peer.send({.data = "just\nyou", .event = "hint"}));
  const auto hint = client.next_event();
  CHECK(hint.raw == "event: hint\ndata: just\ndata: you\n\n");
  CHECK(client.last_id() == *open.id);
  CHECK_FALSE(peer.send({.data = "\x01", .binary = true}));
  CHECK(client.next_event().raw == "event: message;base64\ndata: AQ==\n\n");
  CHECK(peer.send({.data = "x", .event = "downlink.open"}) == make_error_code(errc::bad_event_name));
  CHECK(peer.send({.data = "\xFF"}) == make_error_code(errc::not_utf8));

  std::atomic<int> refused = 0;
  std::jthread sender([&] {
    for (int i = 0; i < 200; ++i) {
      if (peer.send({.data = "r" + std::to_string(i)})) ++refused;
    }
  });
  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(s.publish({.data = "m" + std::to_string(i)}));
  std::size_t messages = 0;
  std::size_t replies = 0;
  sender.join();
  CHECK(refused == 0);
  while (messages + replies < 400) {
    const auto event = client.next_event();
    if (event.id) {
      REQUIRE(messages < ids.size());
      REQUIRE(event.id == ids[messages]);
      REQUIRE(event.data == "m" + std::to_string(messages++));
    } else {
      REQUIRE(event.data == "r" + std::to_string(replies++));
    }
  }
  for (const auto& id : ids) CHECK(other.next_event().id == id);

  client.connection().close();
  CHECK(eventually([&] { return peer.send({.data = "x"}) == make_error_code(errc::peer_gone); }));
  CHECK_FALSE(peer.connected());
}

TEST_CASE("a peer that takes no bytes for the write timeout is reset, however long the heartbeat",
          "[scenario][WIRE-9]") {
  SseServer s({.max_lag = std::size_t{64} << 20}, {.stream = {.heartbeat = 1h, .write_timeout = 200ms}});
  SseClient client(s.start(), "/c");
  client.open();
  for (int i = 0; i < 16; ++i) s.publish({.data = std::string(std::size_t{1} << 20, 'x')});
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}
