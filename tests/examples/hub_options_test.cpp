#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"
#include "support/poll_answer.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

// Each option of the hub shows in what its clients see (WIRE §10).

using namespace downlink::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct QuietHub : ExampleProgram {
  explicit QuietHub(std::vector<std::string> arguments) : ExampleProgram("hub", with_port(std::move(arguments))) {}

  static std::vector<std::string> with_port(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--port", "0", "--telemetry", "off"});
    return arguments;
  }
};

std::vector<std::string> history_of(std::uint16_t port) {
  return PollAnswer(get(port, "/channels/a?cursor=earliest")).data;
}

std::string bearer(const std::string& token) { return "Authorization: Bearer " + token + "\r\n"; }

}  // namespace

TEST_CASE("the option --transports is what channels offer", "[examples][hub][options][wire-10]") {
  QuietHub sse({"--transports", "sse"});
  CHECK(get(sse.port(), "/channels/a", "Accept: application/json\r\n").status == 406);
  SseClient(sse.port(), "/channels/a").open();

  QuietHub websocket({"--transports", "websocket"});
  CHECK(get(websocket.port(), "/channels/a").status == 426);
  CHECK(post(websocket.port(), "/channels/a", "x").status == 202);
  WebSocketClient(websocket.port(), "/channels/a", WebSocketClient::v1).open();

  QuietHub polls({"--transports", "long,short", "--max-wait", "0.2"});
  CHECK(get(polls.port(), "/channels/a", "Accept: text/event-stream\r\n").header("Content-Type") == "application/json");
}

TEST_CASE("the option --history, --history-bytes and --history-age bound what is retained",
          "[examples][hub][options][wire-10]") {
  const auto publish = [](std::uint16_t port) {
    for (const auto* text : {"1111", "2222", "3333", "4444", "5555"}) post(port, "/channels/a", text);
  };
  QuietHub count({"--history", "3"});
  publish(count.port());
  CHECK(history_of(count.port()) == std::vector<std::string>{"3333", "4444", "5555"});

  QuietHub bytes({"--history-bytes", "9"});
  publish(bytes.port());
  CHECK(history_of(bytes.port()) == std::vector<std::string>{"4444", "5555"});

  QuietHub age({"--history-age", "0.3"});
  publish(age.port());
  CHECK(eventually([&] { return history_of(age.port()).size() < 5; }));
}

TEST_CASE("the option --heartbeat is the interval of comments and pings", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--heartbeat", "0.2"});
  SseClient sse(hub.port(), "/channels/a");
  sse.open();
  const auto start = std::chrono::steady_clock::now();
  CHECK(sse.next_item().kind == SseItem::Kind::comment);
  CHECK(sse.next_item().kind == SseItem::Kind::comment);
  CHECK(std::chrono::steady_clock::now() - start >= 250ms);
  WebSocketClient socket(hub.port(), "/channels/a");
  CHECK(socket.next_frame().opcode == ws_ping);
}

TEST_CASE("the option --max-wait bounds how long a poll is held", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--max-wait", "1"});
  const auto start = std::chrono::steady_clock::now();
  const auto answer = get(hub.port(), "/channels/a", "Prefer: wait=30\r\n");
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(answer.header("Preference-Applied") == "wait=1");
  CHECK(took >= 900ms);
  CHECK(took < 4s);
}

TEST_CASE("the option --allow-origin lets pages of other origins in", "[examples][hub][options][wire-10]") {
  const std::string origin = "Origin: https://app.example\r\n";
  QuietHub none({});
  CHECK(post(none.port(), "/channels/a", "x", origin).status == 403);
  CHECK(get(none.port(), "/channels/a", origin).count("Access-Control-Allow-Origin") == 0);
  QuietHub one({"--allow-origin", "https://app.example", "--allow-origin", "https://other.example"});
  CHECK(post(one.port(), "/channels/a", "x", origin).status == 202);
  CHECK(get(one.port(), "/channels/a", origin).header("Access-Control-Allow-Origin") == "https://app.example");
  CHECK(post(one.port(), "/channels/a", "x", "Origin: https://third.example\r\n").status == 403);
  QuietHub any({"--allow-origin", "*"});
  CHECK(get(any.port(), "/channels/a", origin).header("Access-Control-Allow-Origin") == "*");
}

TEST_CASE("the option --token is needed to subscribe and to publish", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--token", "s3cret"});
  const auto port = hub.port();
  for (const std::string& headers : {std::string(), bearer("wrong"), bearer("s3cre"), bearer("s3cret1"), bearer("")}) {
    INFO(headers);
    const auto refused = get(port, "/channels/a", headers);
    CHECK(refused.status == 401);
    CHECK(refused.header("WWW-Authenticate").value().starts_with("Bearer"));
    CHECK(refused.header("Content-Type") == "application/problem+json");
    CHECK(post(port, "/channels/a", "x", headers).status == 401);
    CHECK_THROWS(WebSocketClient(port, "/channels/a", headers));
  }
  CHECK(get(port, "/channels/a?access_token=wrong").status == 401);
  CHECK(get(port, "/channels/a", bearer("s3cret")).status == 200);
  CHECK(get(port, "/channels/a", "authorization: bEARER s3cret\r\n").status == 200);
  CHECK(get(port, "/channels/a?access_token=s3cret").status == 200);
  CHECK(post(port, "/channels/a?access_token=s3cret", "x").status == 202);
  WebSocketClient socket(port, "/channels/a?access_token=s3cret");
  socket.send_text("hello");
  CHECK(socket.next_message().payload == "hello");
  for (const auto* path : {"/", "/downlink.js", "/metrics", "/healthz"}) CHECK(get(port, path).status == 200);
}

TEST_CASE("the option --publish-token is needed to publish", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--token", "reader", "--publish-token", "writer"});
  const auto port = hub.port();
  CHECK(post(port, "/channels/a", "x", bearer("reader")).status == 401);
  CHECK(post(port, "/channels/a", "x", bearer("writer")).status == 202);
  CHECK(get(port, "/channels/a", bearer("writer")).status == 401);
  CHECK(get(port, "/channels/a", bearer("reader")).status == 200);

  WebSocketClient reader(port, "/channels/a", bearer("reader"));
  WebSocketClient both(port, "/channels/a?access_token=writer", bearer("reader"));
  both.send_text("from both");
  CHECK(both.next_message().payload == "from both");
  CHECK(reader.next_message().payload == "from both");
  reader.send_text("refused");
  CHECK(reader.closes().close_code() == 1008);

  QuietHub open({"--publish-token", "writer"});
  WebSocketClient anyone(open.port(), "/channels/a");
  CHECK(post(open.port(), "/channels/a", "x").status == 401);
  CHECK(post(open.port(), "/channels/a", "x", bearer("writer")).status == 202);
  CHECK(anyone.next_message().payload == "x");
  anyone.send_text("refused");
  CHECK(anyone.closes().close_code() == 1008);
  CHECK(history_of(open.port()) == std::vector<std::string>{"x"});
}

TEST_CASE("the option --max-message bounds what is taken", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--max-message", "100"});
  const std::string most(100, 'x');
  CHECK(post(hub.port(), "/channels/a", most).status == 202);
  CHECK(post(hub.port(), "/channels/a", most + "x").status == 413);
  WebSocketClient socket(hub.port(), "/channels/a");
  socket.send_text(most);
  CHECK(socket.next_message().payload == most);
  socket.send_text(most + "x");
  CHECK(socket.closes().close_code() == 1009);
}

TEST_CASE("the option --max-lag and --lag-policy decide about slow subscribers",
          "[examples][hub][options][wire-10][wire-7]") {
  constexpr int count = 48;
  const std::string text(std::size_t{1} << 20, 'x');
  const auto publish = [&](std::uint16_t port) {
    Connection connection(port);
    for (int i = 0; i < count; ++i) {
      connection.send(request_text("POST", "/channels/a", "", text));
      REQUIRE(connection.read_response().status == 202);
    }
  };
  SECTION("disconnect") {
    QuietHub hub({"--max-lag", "65536"});
    SseClient slow(hub.port(), "/channels/a");
    slow.open();
    WebSocketClient socket(hub.port(), "/channels/a");
    publish(hub.port());
    slow.ends();
    const auto messages = std::count_if(slow.rest().begin(), slow.rest().end(),
                                        [](const SseItem& item) { return item.kind == SseItem::Kind::event; });
    CHECK(messages < count);
    CHECK(socket.closes().close_code() == 1013);
  }
  SECTION("skip") {
    QuietHub hub({"--max-lag", "65536", "--lag-policy", "skip"});
    SseClient slow(hub.port(), "/channels/a");
    slow.open();
    publish(hub.port());
    post(hub.port(), "/channels/a", "the newest");
    bool gap = false;
    while (true) {
      const auto event = slow.next_event();
      gap = gap || event.event == "downlink.gap";
      if (event.data == "the newest") break;
    }
    CHECK(gap);
  }
}

TEST_CASE("the option --max-connections bounds connections", "[examples][hub][options][wire-10][wire-8]") {
  QuietHub hub({"--max-connections", "2"});
  const auto port = hub.port();
  WebSocketClient first(port, "/channels/a");
  WebSocketClient second(port, "/channels/a");
  const auto refused = get(port, "/channels/a");
  CHECK(refused.status == 503);
  CHECK(refused.header("Retry-After"));
  const auto stream = get(port, "/channels/a", "Accept: text/event-stream\r\n");
  CHECK(stream.status == 200);
  CHECK(stream.body.starts_with("retry: "));
  second.send_close(1000);
  second.closes();
  CHECK(eventually([&] { return get(port, "/channels/a").status == 200; }));
}

TEST_CASE("the option --head-timeout, --body-timeout and --idle-timeout end what does not come",
          "[examples][hub][options][wire-10][wire-8]") {
  QuietHub hub({"--head-timeout", "0.3", "--body-timeout", "0.4", "--idle-timeout", "0.5"});
  Connection head(hub.port());
  head.send("GET / HTTP/1.1\r\n");
  CHECK(head.read_response().status == 408);
  Connection body(hub.port());
  body.send("POST /channels/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
  CHECK(body.read_response().status == 408);
  Connection idle(hub.port());
  idle.send(request_text("GET", "/healthz"));
  idle.read_response();
  const auto start = std::chrono::steady_clock::now();
  CHECK(idle.closed_by_peer());
  CHECK(std::chrono::steady_clock::now() - start >= 400ms);
}

TEST_CASE("the option --channel-idle is how long an unused channel is kept", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--channel-idle", "0.3"});
  const auto port = hub.port();
  WebSocketClient subscriber(port, "/channels/kept");
  post(port, "/channels/kept", "x");
  post(port, "/channels/a", "x");
  // Asking for it uses the channel, so it is asked for just once its time is over.
  CHECK(eventually([&] { return get(port, "/metrics").body.find("\ndownlink_channels 1\n") != std::string::npos; }));
  CHECK(history_of(port).empty());
  CHECK(PollAnswer(get(port, "/channels/kept?cursor=earliest")).data.size() == 1);
}

TEST_CASE("the option --threads serve the same channels", "[examples][hub][options][wire-10]") {
  QuietHub hub({"--threads", "3"});
  std::vector<WebSocketClient> subscribers;
  for (int i = 0; i < 9; ++i) {
    subscribers.emplace_back(hub.port(), "/channels/a", WebSocketClient::v1);
    subscribers.back().open();
  }
  for (auto& sender : subscribers) sender.send_text("hello");
  std::vector<std::string> order;
  for (auto& subscriber : subscribers) {
    std::vector<std::string> ids;
    for (int i = 0; i < 9; ++i) ids.push_back(subscriber.next_v1().id.value());
    if (order.empty()) order = ids;
    CHECK(ids == order);
  }
}
