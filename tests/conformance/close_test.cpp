#include "conformance/conversation.hpp"

using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// The client closes with this payload: the server answers with the code, and ends the connection first.
void closes(Echo& echo, const std::string& payload, std::uint16_t code) {
  for (const std::size_t piece : {0u, 1u}) {
    auto client = echo.connect();
    Echo::send(client, client_frame(ws_close, payload), piece);
    Echo::expect_end(client, code);
  }
}

}  // namespace

TEST_CASE("a close is answered with its code, and the server ends the connection", "[conformance][RFC6455-7.1]") {
  Echo echo;
  closes(echo, {}, 1005);
  for (const int number :
       {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4999}) {
    const auto code = static_cast<std::uint16_t>(number);
    CAPTURE(code);
    closes(echo, close_payload(code), code);
    closes(echo, close_payload(code, "a reason"), code);
  }
}

TEST_CASE("a close code that no peer may send fails with 1002", "[conformance][RFC6455-7.4]") {
  Echo echo;
  for (const int number : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 65535}) {
    const auto code = static_cast<std::uint16_t>(number);
    CAPTURE(code);
    closes(echo, close_payload(code), 1002);
    closes(echo, close_payload(code, "a reason"), 1002);
  }
}

TEST_CASE("a close has no payload, or two bytes and a reason of up to 123", "[conformance][RFC6455-5.5.1]") {
  Echo echo;
  for (const char byte : {'\0', '\x03', '\xFF'}) closes(echo, {byte}, 1002);
  for (std::size_t size = 0; size <= 123; ++size) {
    CAPTURE(size);
    closes(echo, close_payload(1000, prose(size)), 1000);
  }
  for (const std::size_t size : {124u, 125u, 65536u}) closes(echo, close_payload(1000, prose(size)), 1002);
}

TEST_CASE("a close's reason that is not UTF-8 fails with 1007", "[conformance][RFC6455-8.1]") {
  Echo echo;
  for (const std::string bad : {"\xFF", "abc\x80", "\xED\xA0\x80", "\xC0\xAF", "\xF4\x90\x80\x80", "cut \xE4\xB8"}) {
    CAPTURE(bad);
    closes(echo, close_payload(1000, bad), 1007);
    closes(echo, close_payload(1005, bad), 1002);
  }
}

TEST_CASE("what comes after a close is dropped", "[conformance][RFC6455-5.5.1]") {
  Echo echo;
  for (const std::size_t piece : {0u, 1u}) {
    for (const auto& after : {text_frame("late"), ping_frame("late"), close_frame(1001), first_fragment("late"),
                              std::string(300, '\xFF')}) {
      echo.fails(text_frame("one") + close_frame(3333) + after, 3333, {{ws_text, "one"}}, piece);
    }
  }
  // Much of it, and still the answer arrives and nobody is reset.
  echo.fails(close_frame(1000) + binary_frame(noise(std::size_t{4} << 20)), 1000);
}

TEST_CASE("a close may come within a message, which is then not answered", "[conformance][RFC6455-5.4]") {
  Echo echo;
  echo.fails(first_fragment("half") + close_frame(1000), 1000);
  echo.fails(first_fragment("half") + close_frame(1001) + last_fragment("late"), 1001, {}, 1);
  echo.fails(first_fragment("a") + ping_frame("p") + close_frame(4000), 4000, {{ws_pong, "p"}});
}

TEST_CASE("every message before a close is answered before it", "[conformance][RFC6455-7.1.1]") {
  Echo echo;
  const auto big = noise(std::size_t{3} << 20);
  echo.fails(text_frame("a") + binary_frame(big) + ping_frame("p") + close_frame(1000), 1000,
             {{ws_text, "a"}, {ws_binary, big}, {ws_pong, "p"}});
}

TEST_CASE("every answer arrives though the client has half-closed behind its close", "[conformance][RFC6455-7.1.1]") {
  Echo echo;
  const auto big = noise(std::size_t{12} << 20);
  auto client = echo.connect();
  client.connection().send(binary_frame(big) + close_frame(1000));
  client.connection().half_close();
  Echo::expect(client, {{ws_binary, big}});
  Echo::expect_end(client, 1000);
}

TEST_CASE("both sides may close at once", "[conformance][RFC6455-7.1.3]") {
  Echo echo;
  auto client = echo.connect();
  // The server's own close answers the bad frame; the client's is on its way already.
  client.connection().send(client_frame(5, "bad") + close_frame(1000));
  Echo::expect_end(client, 1002);
}

TEST_CASE("the server keeps taking what was on its way to it when it failed the connection",
          "[conformance][RFC6455-7.1.7]") {
  Echo echo;
  auto client = echo.connect();
  // The client sends all of it before it reads.
  client.connection().set_patience(20s);
  client.connection().send(client_frame(5, "bad") + binary_frame(noise(std::size_t{16} << 20)));
  Echo::expect_end(client, 1002);
}

TEST_CASE("a client that goes away without a close harms nobody", "[conformance][RFC6455-7.1.4]") {
  Echo echo;
  auto other = echo.connect();
  for (int i = 0; i < 100; ++i) {
    auto client = echo.connect();
    client.connection().send(i % 2 == 0 ? first_fragment("half") : text_frame("whole"));
    if (i % 3 == 0) client.connection().half_close();
    if (i % 3 == 1) client.connection().reset();
    if (i % 3 == 0) REQUIRE(client.connection().closed_by_peer(20s));
  }
  other.send_text("still here");
  Echo::expect(other, {{ws_text, "still here"}});
  other.send_close(1000);
  Echo::expect_end(other, 1000);
}
