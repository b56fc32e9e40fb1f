#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/deflate.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"

using namespace downlink::testing;

TEST_CASE("echo compresses where it is told to and the client offers it", "[deflate][echo][wire-10]") {
  ExampleProgram plain("echo", {"--port", "0"});
  CHECK_FALSE(WebSocketClient(plain.port(), "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
                  .head()
                  .header("Sec-WebSocket-Extensions"));

  ExampleProgram echo("echo", {"--port", "0", "--deflate"});
  for (const std::string offer :
       {"permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=9; client_no_context_takeover"}) {
    auto client = deflate_client(echo.port(), "/", offer);
    for (const std::size_t size : {0u, 1u, 125u, 126u, 4'096u, 65'536u, 131'072u}) {
      const std::string text = words(size);
      client.connection().send(deflated_frame(ws_text, deflated(text)));
      const auto answer = client.next_message();
      CHECK(answer.opcode == ws_text);
      CHECK((answer.payload == text));
    }
    CHECK(client.compressed() >= 3);
  }
}

TEST_CASE("echo takes compressed messages of up to 16 MiB", "[deflate][echo][wire-10]") {
  ExampleProgram echo("echo", {"--port", "0", "--deflate"});
  WebSocketClient client(Connection(echo.port(), std::chrono::seconds{60}), "/",
                         "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  constexpr std::size_t largest = std::size_t{16} << 20;
  client.connection().send(deflated_frame(ws_binary, deflated(std::string(largest, 'x'))));
  const auto answer = client.next_frame();
  CHECK(answer.rsv == 4);
  CHECK(answer.payload.size() < largest / 100);
  client.connection().send(deflated_frame(ws_binary, deflated(std::string(largest + 1, 'x'))));
  CHECK(client.closes().close_code() == 1009);
}

TEST_CASE("the hub compresses for those who ask for it", "[deflate][hub][wire-10]") {
  ExampleProgram hub("hub", {"--port", "0", "--telemetry", "off", "--deflate"});
  auto compressed =
      deflate_client(hub.port(), "/channels/c", "permessage-deflate; client_max_window_bits", WebSocketClient::v1);
  WebSocketClient plain(hub.port(), "/channels/c", WebSocketClient::v1);
  compressed.open();
  plain.open();
  const std::string text = words(2'000);
  CHECK(post(hub.port(), "/channels/c", text).status == 202);
  for (auto* client : {&compressed, &plain}) CHECK(client->next_v1().data == text);
  compressed.connection().send(deflated_frame(ws_text, deflated("from a client")));
  for (auto* client : {&compressed, &plain}) CHECK(client->next_v1().data == "from a client");
  CHECK(compressed.compressed() == 1);
  CHECK(plain.compressed() == 0);

  ExampleProgram without("hub", {"--port", "0", "--telemetry", "off"});
  CHECK_FALSE(WebSocketClient(without.port(), "/channels/c", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
                  .head()
                  .header("Sec-WebSocket-Extensions"));
}

TEST_CASE("the option --deflate takes no value", "[deflate][hub][echo][wire-10]") {
  for (const std::string name : {"hub", "echo"}) {
    ExampleProgram program(name, {"--deflate=no"});
    CHECK(program.exit_code() == 2);
    const auto sentence = program.error_output();
    INFO(sentence);
    CHECK(sentence.starts_with(name + ": "));
    CHECK(sentence.find("deflate") != sentence.npos);
    CHECK(std::count(sentence.begin(), sentence.end(), '\n') == 1);
    ExampleProgram help(name, {"--help"});
    CHECK(help.exit_code() == 0);
    CHECK(help.output().find("--deflate") != std::string::npos);
  }
}
