#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"
#include "support/poll_answer.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;

namespace {

constexpr auto prices = "/prices";

void check_price(const std::string& data) {
  INFO(data);
  const auto price = nlohmann::json::parse(data);
  CHECK(price.at("symbol") == "BTC");
  CHECK(price.at("price") > 0);
}

void check_polls(std::uint16_t port, const std::string& query) {
  // The publisher is another thread, so the first price may come after the first request.
  Connection connection(port);
  std::string cursor;
  REQUIRE(eventually([&] {
    connection.send(request_text("GET", prices + query + "cursor=earliest"));
    const PollAnswer first(connection.read_response());
    if (first.ids.empty()) return false;
    check_price(first.data.front());
    cursor = first.cursor;
    return true;
  }));
  // The next ones, by the cursor of those before.
  CHECK(eventually([&] {
    connection.send(request_text("GET", prices + query + "cursor=" + cursor));
    const PollAnswer answer(connection.read_response());
    CHECK_FALSE(answer.gap);
    if (answer.data.empty()) return false;
    check_price(answer.data.front());
    return true;
  }));
}

void check_sse(std::uint16_t port) {
  SseClient client(port, prices);
  CHECK(client.head().header("Content-Type") == "text/event-stream");
  client.open();
  std::string before;
  for (int i = 0; i < 2; ++i) {
    const auto event = client.next_event();
    CHECK(event.event == "price");
    CHECK(event.id != before);
    before = event.id.value();
    check_price(event.data);
  }
}

void check_websocket(std::uint16_t port) {
  WebSocketClient client(port, prices);
  for (int i = 0; i < 2; ++i) check_price(client.next_message().payload);
}

// An example's code without the comment at its beginning.
std::vector<std::string> code_of(const std::string& name) {
  std::ifstream file(std::string(DOWNLINK_SOURCE_DIR) + "/examples/" + name + ".cpp");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  CHECK(lines.size() <= 40);
  lines.erase(lines.begin(), std::find(lines.begin(), lines.end(), ""));
  REQUIRE(lines.size() > 10);
  return lines;
}

}  // namespace

TEST_CASE("the example of short polling answers with what is there", "[examples][short_polling]") {
  ExampleProgram example("short_polling", {"0"});
  check_polls(example.port(), "?");
  CHECK(example.first_line() == "listening on http://127.0.0.1:" + std::to_string(example.port()) + prices);
}

TEST_CASE("the example of long polling answers when a price comes", "[examples][long_polling]") {
  ExampleProgram example("long_polling", {"0"});
  check_polls(example.port(), "?wait=10&");
}

TEST_CASE("the example of Server-Sent Events streams prices", "[examples][sse]") {
  ExampleProgram example("sse", {"0"});
  check_sse(example.port());
}

TEST_CASE("the example of WebSocket sends a frame for each price", "[examples][websocket]") {
  ExampleProgram example("websocket", {"0"});
  check_websocket(example.port());
}

TEST_CASE("the examples of the four transports differ in one type", "[examples]") {
  const auto sse = code_of("sse");
  const std::regex server("Server<downlink::[A-Za-z]+>");
  for (const auto* name : {"short_polling", "long_polling", "websocket"}) {
    auto other = code_of(name);
    REQUIRE(other.size() == sse.size());
    int different = 0;
    for (std::size_t i = 0; i < sse.size(); ++i) {
      if (other[i] != sse[i]) ++different;
      CHECK(std::regex_replace(other[i], server, "Server<>") == std::regex_replace(sse[i], server, "Server<>"));
    }
    CHECK(different == 1);
  }
}

TEST_CASE("an example says in one sentence that its port is taken", "[examples]") {
  ExampleProgram first("sse", {"0"});
  ExampleProgram second("sse", {std::to_string(first.port())});
  CHECK(second.exit_code() == 1);
  CHECK(second.output().empty());
  const auto sentence = second.error_output();
  INFO(sentence);
  CHECK(sentence.find(std::to_string(first.port())) != std::string::npos);
  CHECK(std::count(sentence.begin(), sentence.end(), '\n') == 1);
}

TEST_CASE("one channel goes over all four transports", "[examples][all_transports]") {
  ExampleProgram example("all_transports", {"0"});
  const auto port = example.port();
  check_polls(port, "?");
  check_polls(port, "?wait=10&");
  check_sse(port);
  check_websocket(port);
}

TEST_CASE("what one transport has read, another one goes on from", "[examples][all_transports]") {
  ExampleProgram example("all_transports", {"0"});
  SseClient stream(example.port(), std::string(prices) + "?cursor=earliest");
  stream.open();
  const auto first = stream.next_event();
  const auto second = stream.next_event();
  const PollAnswer answer(get(example.port(), prices + ("?cursor=" + first.id.value())));
  REQUIRE_FALSE(answer.ids.empty());
  CHECK(answer.ids.front() == second.id);
}

TEST_CASE("a transport of the application's own serves beside one of the library's", "[examples][custom_transport]") {
  ExampleProgram example("custom_transport", {"0"});
  Connection connection(example.port());
  connection.send(request_text("GET", prices, "Accept: application/x-ndjson\r\n"));
  const auto head = connection.read_head();
  CHECK(head.status == 200);
  CHECK(head.header("Content-Type") == "application/x-ndjson");

  std::string text;
  while (std::count(text.begin(), text.end(), '\n') < 3) text += connection.read_chunk();
  const auto opening = nlohmann::json::parse(text.substr(0, text.find('\n')));
  CHECK_FALSE(opening.at("open").get<std::string>().empty());
  text.erase(0, text.find('\n') + 1);
  const auto first = nlohmann::json::parse(text.substr(0, text.find('\n')));
  CHECK(first.at("event") == "price");
  check_price(first.at("data").get<std::string>());

  // Resumes as every transport does.
  Connection again(example.port());
  again.send(request_text("GET", prices + ("?cursor=" + opening.at("open").get<std::string>()),
                          "Accept: application/x-ndjson\r\n"));
  again.read_head();
  std::string resumed;
  while (std::count(resumed.begin(), resumed.end(), '\n') < 2) resumed += again.read_chunk();
  resumed.erase(0, resumed.find('\n') + 1);
  CHECK(nlohmann::json::parse(resumed.substr(0, resumed.find('\n'))) == first);

  Connection unknown(example.port());
  unknown.send(request_text("GET", prices + std::string("?cursor=0-1"), "Accept: application/x-ndjson\r\n"));
  unknown.read_head();
  std::string lines;
  while (std::count(lines.begin(), lines.end(), '\n') < 2) lines += unknown.read_chunk();
  CHECK(lines.starts_with("{\"open\":\"\"}\n{\"gap\":\"0-1\","));

  check_sse(example.port());
}
