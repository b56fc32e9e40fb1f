#include <nlohmann/json.hpp>
#include <string>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;
using nlohmann::json;

TEST_CASE("users by WebSocket and by SSE and POST talk in one room", "[examples][chat]") {
  ExampleProgram example("chat", {"0"});
  const auto port = example.port();
  WebSocketClient ann(port, "/rooms/lobby?name=Ann");
  CHECK(json::parse(ann.next_message().payload) == json{{"kind", "joined"}, {"name", "Ann"}});

  {
    SseClient bob(port, "/rooms/lobby?name=Bob%20%22B%22");
    bob.open();
    const json joined = {{"kind", "joined"}, {"name", "Bob \"B\""}};
    CHECK(json::parse(bob.next_event().data) == joined);
    CHECK(json::parse(ann.next_message().payload) == joined);

    ann.send_text("Hello, Bob\n\u00fc");
    const json hello = {{"kind", "said"}, {"name", "Ann"}, {"text", "Hello, Bob\n\u00fc"}};
    CHECK(json::parse(bob.next_event().data) == hello);
    CHECK(json::parse(ann.next_message().payload) == hello);

    CHECK(post(port, "/rooms/lobby?name=Bob%20%22B%22", "Hello, Ann").status == 202);
    const json answer = {{"kind", "said"}, {"name", "Bob \"B\""}, {"text", "Hello, Ann"}};
    CHECK(json::parse(bob.next_event().data) == answer);
    CHECK(json::parse(ann.next_message().payload) == answer);
  }
  CHECK(json::parse(ann.next_message().payload) == json{{"kind", "left"}, {"name", "Bob \"B\""}});
}

TEST_CASE("what is said in one room is not heard in another", "[examples][chat]") {
  ExampleProgram example("chat", {"0"});
  const auto port = example.port();
  WebSocketClient ann(port, "/rooms/one?name=Ann");
  ann.next_message();
  CHECK(post(port, "/rooms/two?name=Bob", "elsewhere").status == 202);
  CHECK(post(port, "/rooms/one?name=Bob", "here").status == 202);
  CHECK(json::parse(ann.next_message().payload).at("text") == "here");
}

TEST_CASE("a room takes no one without a name", "[examples][chat]") {
  ExampleProgram example("chat", {"0"});
  for (const auto* query : {"", "?name=", "?name=%FF"}) {
    CHECK(get(example.port(), std::string("/rooms/lobby") + query).status == 403);
    CHECK(post(example.port(), std::string("/rooms/lobby") + query, "x").status == 403);
  }
}

TEST_CASE("the chat has a page", "[examples][chat]") {
  ExampleProgram example("chat", {"0"});
  const auto page = get(example.port(), "/");
  CHECK(page.status == 200);
  CHECK(page.header("Content-Type") == "text/html; charset=utf-8");
  CHECK(page.body.starts_with("<!doctype html>"));
  CHECK(get(example.port(), "/nothing").status == 404);
}
