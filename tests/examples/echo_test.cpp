#include <algorithm>
#include <csignal>
#include <cstddef>
#include <string>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;

namespace {

constexpr std::size_t largest = std::size_t{16} << 20;

Connection patient(std::uint16_t port) { return Connection(port, std::chrono::seconds{60}); }

}  // namespace

TEST_CASE("echo answers small messages of either kind on any path", "[examples][echo]") {
  ExampleProgram example("echo", {"--port", "0"});
  CHECK(example.first_line() == "listening on http://127.0.0.1:" + std::to_string(example.port()));
  for (const auto* path : {"/", "/echo", "/?x=y"}) {
    WebSocketClient client(example.port(), path);
    for (const std::string text : {"", "x", "Hello, \u4e16\u754c", "125"}) {
      client.send_text(text);
      const auto answer = client.next_message();
      CHECK(answer.opcode == ws_text);
      CHECK(answer.payload == text);
    }
    for (const std::size_t size : {0u, 125u, 126u, 65535u, 65536u}) {
      const std::string bytes(size, '\xFF');
      client.send(ws_binary, bytes);
      const auto answer = client.next_message();
      CHECK(answer.opcode == ws_binary);
      CHECK(answer.payload == bytes);
    }
  }
}

TEST_CASE("echo answers a fragmented message, with a ping in its midst", "[examples][echo]") {
  ExampleProgram example("echo", {"--port", "0"});
  WebSocketClient client(example.port(), "/");
  client.send(ws_text, "one \xE4", {.fin = false});
  client.send(ws_ping, "?");
  client.send(ws_continuation, "\xB8", {.fin = false});
  client.send(ws_continuation, "\x96");
  const auto pong = client.next_frame();
  CHECK(pong.opcode == ws_pong);
  CHECK(pong.payload == "?");
  CHECK(client.next_message().payload == "one \u4e16");
}

TEST_CASE("echo answers 16 MiB, whole and fragmented, and refuses more", "[examples][echo]") {
  ExampleProgram example("echo", {"--port", "0"});
  std::string bytes(largest, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);

  WebSocketClient client(patient(example.port()), "/");
  client.send(ws_binary, bytes);
  CHECK((client.next_message().payload == bytes));

  constexpr std::size_t piece = std::size_t{1} << 20;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    client.send(at == 0 ? ws_binary : ws_continuation, std::string_view(bytes).substr(at, piece),
                {.fin = at + piece >= bytes.size()});
  }
  CHECK((client.next_message().payload == bytes));

  client.connection().try_send(client_frame(ws_binary, bytes + '!').substr(0, 4096));
  CHECK(client.closes().close_code() == 1009);
}

TEST_CASE("echo answers a message that comes right before a close", "[examples][echo]") {
  ExampleProgram example("echo", {"--port", "0"});
  for (const std::size_t size : {std::size_t{5}, largest}) {
    WebSocketClient client(patient(example.port()), "/");
    const std::string bytes(size, 'x');
    client.connection().send(client_frame(ws_text, bytes) + client_frame(ws_close, close_payload(1000)));
    CHECK((client.next_message().payload == bytes));
    CHECK(client.closes().close_code() == 1000);
  }
}

TEST_CASE("echo answers many messages that are sent without waiting", "[examples][echo]") {
  ExampleProgram example("echo", {"--port", "0"});
  WebSocketClient client(patient(example.port()), "/");
  std::string all;
  for (int i = 0; i < 10'000; ++i) all += client_frame(ws_text, std::to_string(i));
  client.connection().send(all);
  for (int i = 0; i < 10'000; ++i) REQUIRE(client.next_message().payload == std::to_string(i));
}

TEST_CASE("echo refuses unknown options, and says that its port is taken", "[examples][echo]") {
  for (const auto& arguments :
       {std::vector<std::string>{"--nonsense"}, {"--port", "65536"}, {"--port", "x"}, {"word"}}) {
    ExampleProgram example("echo", arguments);
    CHECK(example.exit_code() == 2);
    CHECK(example.output().empty());
    const auto sentence = example.error_output();
    INFO(sentence);
    CHECK(sentence.starts_with("echo: "));
    CHECK(std::count(sentence.begin(), sentence.end(), '\n') == 1);
  }
  ExampleProgram first("echo", {"--port", "0"});
  ExampleProgram second("echo", {"--port", std::to_string(first.port())});
  CHECK(second.exit_code() == 1);
  CHECK(second.error_output().find(std::to_string(first.port())) != std::string::npos);
  ExampleProgram help("echo", {"--help"});
  CHECK(help.exit_code() == 0);
  CHECK(help.output().find("--port") != std::string::npos);
}

TEST_CASE("a signal ends echo's connections with 1001, and echo with 0", "[examples][echo][WIRE-9]") {
  ExampleProgram example("echo", {"--port", "0"});
  WebSocketClient client(example.port(), "/");
  client.send_text("x");
  CHECK(client.next_message().payload == "x");
  example.send_signal(SIGTERM);
  CHECK(client.closes().close_code() == 1001);
  CHECK(example.exit_code() == 0);
}
