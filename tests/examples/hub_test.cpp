#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"
#include "support/poll_answer.hpp"
#include "support/prometheus.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Hub : ExampleProgram {
  explicit Hub(std::vector<std::string> arguments = {}) : ExampleProgram("hub", with_port(std::move(arguments))) {}

  static std::vector<std::string> with_port(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--port", "0"});
    return arguments;
  }
};

bool is_problem(const Response& response, int status) {
  INFO(response.status << ' ' << response.body);
  CHECK(response.status == status);
  CHECK(response.header("Content-Type") == "application/problem+json");
  const auto problem = json::parse(response.body);
  CHECK(problem.at("status") == status);
  CHECK_FALSE(problem.at("title").get<std::string>().empty());
  return problem.contains("detail");
}

std::string source(const std::string& name) {
  std::ifstream file(std::string(DOWNLINK_SOURCE_DIR) + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("the hub's first line says where it listens", "[examples][hub][wire-10]") {
  Hub hub;
  CHECK(hub.first_line() == "listening on http://127.0.0.1:" + std::to_string(hub.port()));
  Hub v6({"--address", "::1"});
  CHECK(v6.first_line() == "listening on http://[::1]:" + std::to_string(v6.port()));
}

TEST_CASE("the hub serves its page, its script and its health", "[examples][hub][wire-10]") {
  Hub hub;
  const auto port = hub.port();
  const auto page = get(port, "/?a=b");
  CHECK(page.status == 200);
  CHECK(page.header("Content-Type") == "text/html; charset=utf-8");
  CHECK((page.body == source("/examples/hub/web/index.html")));
  const auto script = get(port, "/downlink.js");
  CHECK(script.header("Content-Type").value().starts_with("text/javascript"));
  CHECK((script.body == source("/include/downlink/browser/downlink.js")));
  const auto health = get(port, "/healthz");
  CHECK(health.status == 200);
  CHECK(health.body == "ok");

  for (const auto* path : {"/", "/downlink.js", "/healthz"}) {
    const auto whole = get(port, path);
    Connection connection(port);
    connection.send(request_text("HEAD", path) + request_text("GET", "/healthz"));
    CHECK(connection.read_response(true).header("Content-Length") == std::to_string(whole.body.size()));
    CHECK(connection.read_response().body == "ok");
    const auto refused = request(port, "POST", path, "", "x");
    CHECK(is_problem(refused, 405));
    CHECK(refused.header("Allow") == "GET, HEAD, OPTIONS");
    const auto options = request(port, "OPTIONS", path);
    CHECK(options.status == 204);
    CHECK(options.header("Allow") == "GET, HEAD, OPTIONS");
  }
  // Equal to the same path unescaped (RFC 3986 §6.2.2.2).
  CHECK(get(port, "/%68ealthz").body == "ok");
  for (const auto* path : {"/nothing", "/channels", "/channels/a/b", "/index.html"}) {
    CHECK(is_problem(get(port, path), 404));
    CHECK(is_problem(post(port, path, "x"), 404));
  }
}

TEST_CASE("the hub tells its metrics in Prometheus' format", "[examples][hub][wire-10]") {
  Hub hub({"--telemetry", "off"});
  const auto port = hub.port();
  post(port, "/channels/a", "1");
  post(port, "/channels/b", "2");
  SseClient stream(port, "/channels/a");
  stream.open();
  WebSocketClient socket(port, "/channels/b");
  const auto metrics = get(port, "/metrics");
  CHECK(metrics.header("Content-Type").value().starts_with("text/plain; version=0.0.4"));
  INFO(metrics.body);
  const PrometheusText text(metrics.body);
  CHECK(text["downlink_subscribers"] == 2);
  CHECK(text["downlink_messages_published_total"] == 2);
  CHECK(text["downlink_published_bytes_total"] == 2);
  CHECK(text["downlink_channels"] == 2);
  CHECK(text["downlink_channels_created_total"] == 2);
  CHECK(text["downlink_connections"] >= 3);
  CHECK(text["downlink_connections_accepted_total"] == 5);
  CHECK(text["downlink_requests_total"] == 5);
  CHECK(text["downlink_streams{transport=\"sse\"}"] == 1);
  CHECK(text["downlink_streams{transport=\"websocket\"}"] == 1);
  CHECK(text["downlink_messages_received_total"] == 2);
  CHECK(text["downlink_messages_sent_total"] == 0);
  CHECK(std::regex_search(metrics.body, std::regex("\ndownlink_build_info\\{version=\"[0-9.]+\"\\} 1\n")));
  CHECK(text["process_resident_memory_bytes"] > 0);
  CHECK(text["process_open_fds"] >= 5);
}

TEST_CASE("the hub's metrics count what was served and what was refused", "[examples][hub][wire-10]") {
  Hub hub({"--telemetry", "off"});
  const auto port = hub.port();
  std::optional<SseClient> stream(std::in_place, port, "/channels/a");
  stream->open();
  for (int i = 0; i < 3; ++i) post(port, "/channels/a", "four");
  for (int i = 0; i < 3; ++i) stream->next_event();
  CHECK(get(port, "/channels/a?history=2").status == 200);
  CHECK(get(port, "/channels/a?cursor=elsewhere").status == 200);  // a gap
  CHECK(get(port, "/channels/a/b").status == 404);
  CHECK(get(port, "/channels/not%20this").status == 400);
  stream.reset();
  std::optional<PrometheusText> text;
  REQUIRE(eventually([&] {
    text.emplace(get(port, "/metrics").body);
    return (*text)["downlink_streams_ended_total{reason=\"peer_left\"}"] == 1;
  }));
  CHECK((*text)["downlink_served_total{transport=\"sse\"}"] == 1);
  CHECK((*text)["downlink_streams{transport=\"sse\"}"] == 0);
  CHECK((*text)["downlink_served_total{transport=\"short_polling\"}"] == 2);
  CHECK((*text)["downlink_messages_sent_total"] == 3 + 2 + 3);
  CHECK((*text)["downlink_resumes_total"] == 1);
  CHECK((*text)["downlink_gaps_total"] == 1);
  CHECK((*text)["downlink_requests_refused_total{code=\"400\"}"] == 1);
  CHECK((*text)["downlink_requests_refused_total{code=\"404\"}"] == 1);
  CHECK((*text)["downlink_history_messages"] == 3);
  CHECK((*text)["downlink_history_bytes"] == 12);
}

TEST_CASE("what is posted to a channel is published on every transport", "[examples][hub][wire-10]") {
  Hub hub;
  const auto port = hub.port();
  SseClient sse(port, "/channels/news");
  sse.open();
  WebSocketClient socket(port, "/channels/news");
  WebSocketClient v1(port, "/channels/news", WebSocketClient::v1);
  v1.open();
  const auto cursor = PollAnswer(get(port, "/channels/news")).cursor;
  Connection held(port);
  held.send(request_text("GET", "/channels/news?wait=10&cursor=" + cursor));

  const auto posted = post(port, "/channels/news?event=update%20one", "the news", "Content-Type: text/plain\r\n");
  CHECK(posted.status == 202);
  CHECK(posted.header("Content-Type") == "application/json");
  const auto answer = json::parse(posted.body);
  CHECK(answer.size() == 2);
  CHECK(answer.at("subscribers").get<int>() >= 3);
  const auto id = answer.at("id").get<std::string>();

  const auto poll = PollAnswer(held.read_response());
  CHECK(poll.ids == std::vector{id});
  const auto event = sse.next_event();
  CHECK(event.event == "update one");
  CHECK(event.data == "the news");
  CHECK(event.id == id);
  CHECK(socket.next_message().payload == event.data);
  const auto message = v1.next_v1();
  CHECK(message.id == event.id);
  CHECK(message.event == "update one");
  CHECK(PollAnswer(get(port, "/channels/news?history=1")).ids == std::vector{id});

  const std::string bytes("\0\xFF\r\n", 4);
  CHECK(post(port, "/channels/bytes", bytes, "Content-Type: application/octet-stream\r\n").status == 202);
  const auto binary = PollAnswer(get(port, "/channels/bytes?cursor=earliest")).json.at("messages").at(0);
  CHECK(binary.at("encoding") == "base64");
  CHECK(binary.at("data") == "AP8NCg==");
}

TEST_CASE("a WebSocket message is published without an event and gets no reply", "[examples][hub][wire-10]") {
  Hub hub;
  WebSocketClient sender(hub.port(), "/channels/talk?event=ignored", WebSocketClient::v1);
  sender.open();
  sender.send_text("hello");
  sender.send(ws_binary, "\xFF");
  const auto first = sender.next_v1();
  CHECK(first.id);
  CHECK(first.event.empty());
  CHECK(first.data == "hello");
  const auto second = sender.next_v1();
  CHECK(second.id);
  CHECK(second.binary);
}

TEST_CASE("the hub refuses bad names, events and texts", "[examples][hub][wire-10]") {
  Hub hub;
  const auto port = hub.port();
  CHECK(get(port, "/channels/" + std::string(128, 'a')).status == 200);
  CHECK(get(port, "/channels/A.z_~-0").status == 200);
  for (const std::string& name :
       {std::string(129, 'a'), std::string("a%20b"), std::string("%2e%2e"), std::string(".."), std::string("."),
        std::string(), std::string("a%2Fb"), std::string("%C3%BC"), std::string("%zz")}) {
    INFO(name);
    CHECK(is_problem(get(port, "/channels/" + name), 400));
    CHECK(is_problem(post(port, "/channels/" + name, "x"), 400));
  }
  for (const auto* event : {"downlink.x", "a%0Ab", "a%0D", "a%00", "x%3Bbase64", "%FF"}) {
    INFO(event);
    CHECK(is_problem(post(port, std::string("/channels/a?event=") + event, "x"), 400));
  }
  CHECK(is_problem(post(port, "/channels/a", "\xFF"), 400));
  CHECK(is_problem(request(port, "DELETE", "/channels/a"), 405));
  for (const auto* event : {"", "message"}) {
    CHECK(post(port, std::string("/channels/default?event=") + event, "x").status == 202);
  }
  const PollAnswer answer(get(port, "/channels/default?cursor=earliest"));
  for (const auto& message : answer.json.at("messages")) {
    CHECK_FALSE(message.contains("event"));
  }
}

TEST_CASE("telemetry arrives over all four transports", "[examples][hub][wire-10]") {
  Hub hub;
  const auto port = hub.port();
  const auto path = "/channels/telemetry";
  const auto check = [](const std::string& text) {
    INFO(text);
    const auto figures = json::parse(text);
    CHECK(figures.size() == 8);
    CHECK(figures.contains("cpu_total"));
  };
  SseClient sse(port, path);
  sse.open();
  const auto event = sse.next_event();
  CHECK(event.event == "telemetry");
  check(event.data);
  check(WebSocketClient(port, path).next_message().payload);
  const PollAnswer short_poll(get(port, std::string(path) + "?cursor=earliest"));
  REQUIRE_FALSE(short_poll.data.empty());
  check(short_poll.data.front());
  const PollAnswer long_poll(get(port, std::string(path) + "?cursor=" + short_poll.cursor, "Prefer: wait=10\r\n"));
  REQUIRE_FALSE(long_poll.data.empty());
  check(long_poll.data.front());

  Hub quiet({"--telemetry", "off"});
  CHECK(PollAnswer(get(quiet.port(), std::string(path) + "?cursor=earliest&wait=2")).ids.empty());
}

TEST_CASE("a signal drains the hub, which then exits with 0", "[examples][hub][wire-10][wire-9]") {
  for (const int number : {SIGTERM, SIGINT}) {
    for (const auto* threads : {"1", "3"}) {
      Hub hub({"--threads", threads, "--drain-timeout", "3", "--telemetry", "off"});
      const auto port = hub.port();
      SseClient sse(port, "/channels/a");
      sse.open();
      WebSocketClient socket(port, "/channels/a");
      Connection held(port);
      held.send(request_text("GET", "/channels/a?wait=30"));
      Connection idle(port);
      idle.send(request_text("GET", "/healthz"));
      idle.read_response();
      // Of the held poll nothing is heard until it ends, but the metrics count it.
      const std::string counted = "\ndownlink_streams{transport=\"long_polling\"} 1\n";
      REQUIRE(eventually([&] { return get(port, "/metrics").body.find(counted) != std::string::npos; }));

      hub.send_signal(number);
      const auto answer = held.read_response();
      CHECK(answer.lists("Connection", "close"));
      CHECK(PollAnswer(answer).ids.empty());
      CHECK(socket.closes().close_code() == 1001);
      CHECK(sse.ends());
      CHECK(std::any_of(sse.rest().begin(), sse.rest().end(),
                        [](const SseItem& item) { return item.kind == SseItem::Kind::retry; }));
      CHECK(idle.closed_by_peer());
      CHECK(hub.exit_code() == 0);
      CHECK(hub.error_output().empty());
    }
  }
}

TEST_CASE("bad options end the hub with 2, a port in use with 1", "[examples][hub][wire-10]") {
  for (const auto& arguments : {std::vector<std::string>{"--nonsense"},
                                {"--compress"},
                                {"--threads", "0"},
                                {"--transports", "carrier-pigeon"},
                                {"--history"}}) {
    ExampleProgram hub("hub", arguments);
    CHECK(hub.exit_code() == 2);
    CHECK(hub.output().empty());
    const auto sentence = hub.error_output();
    INFO(sentence);
    CHECK(std::count(sentence.begin(), sentence.end(), '\n') == 1);
  }
  Hub first;
  ExampleProgram second("hub", {"--port", std::to_string(first.port())});
  CHECK(second.exit_code() == 1);
  CHECK(second.output().empty());
  const auto sentence = second.error_output();
  INFO(sentence);
  CHECK(sentence.find("127.0.0.1:" + std::to_string(first.port())) != std::string::npos);
  CHECK(std::count(sentence.begin(), sentence.end(), '\n') == 1);
  ExampleProgram help("hub", {"--help"});
  CHECK(help.exit_code() == 0);
}
