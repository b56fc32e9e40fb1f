#include <string>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/poll_answer.hpp"
#include "support/sse_client.hpp"

using namespace downlink::testing;

namespace {

constexpr auto own_page = "This page is the application's own.\n";

}  // namespace

TEST_CASE("the application's requests and polls of the library's share a connection", "[examples][embed]") {
  ExampleProgram example("embed", {"0"});
  Connection connection(example.port());
  std::string cursor = "earliest";
  for (int i = 0; i < 3; ++i) {
    connection.send(request_text("GET", "/"));
    CHECK(connection.read_response().body == own_page);
    connection.send(request_text("GET", "/prices?wait=5&cursor=" + cursor));
    const PollAnswer answer(connection.read_response());
    CHECK_FALSE(answer.gap);
    CHECK_FALSE(answer.ids.empty());
    cursor = answer.cursor;
  }
}

TEST_CASE("pipelined requests are answered in order, whoever answers", "[examples][embed]") {
  ExampleProgram example("embed", {"0"});
  Connection connection(example.port());
  connection.send(request_text("GET", "/prices?cursor=earliest") + request_text("GET", "/") +
                  request_text("GET", "/prices?cursor=earliest") + request_text("HEAD", "/") +
                  request_text("GET", "/nothing"));
  CHECK_FALSE(PollAnswer(connection.read_response()).ids.empty());
  CHECK(connection.read_response().body == own_page);
  CHECK_FALSE(PollAnswer(connection.read_response()).ids.empty());
  CHECK(connection.read_response(true).status == 200);
  CHECK(connection.read_response().status == 404);
}

TEST_CASE("a stream keeps the connection that it was handed", "[examples][embed]") {
  ExampleProgram example("embed", {"0"});
  Connection connection(example.port());
  connection.send(request_text("GET", "/"));
  CHECK(connection.read_response().body == own_page);
  SseClient stream(std::move(connection), "/prices");
  stream.open();
  CHECK(stream.next_event().event == "price");
  CHECK(stream.next_event().event == "price");
}

TEST_CASE("the application's own server refuses what it can't read", "[examples][embed]") {
  ExampleProgram example("embed", {"0"});
  for (const auto* bad : {"nonsense\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nHost : x\r\n\r\n"}) {
    Connection connection(example.port());
    connection.send(bad);
    CHECK(connection.read_response().status == 400);
    CHECK(connection.closed_by_peer());
  }
  Connection connection(example.port());
  connection.send(request_text("POST", "/", "", "body"));
  const auto answer = connection.read_response();
  CHECK(answer.lists("Connection", "close"));
  CHECK(connection.closed_by_peer());
}
