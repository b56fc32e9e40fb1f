#include "downlink/wire/sse.hpp"

#include <chrono>
#include <string>

#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::wire;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

std::string event(const MessageView& message) {
  std::string out;
  append_sse_event(out, message);
  return out;
}

std::string data_lines(std::string_view payload) { return event({.data = payload}); }

}  // namespace

TEST_CASE("an event has its id, its name, its payload and a blank line", "[wire][WIRE-4]") {
  CHECK(event({.id = "e-7", .event = "price", .data = "42"}) == "id: e-7\nevent: price\ndata: 42\n\n");
  CHECK(event({.id = "e-7", .data = "42"}) == "id: e-7\ndata: 42\n\n");
}

TEST_CASE("a direct reply is an event without an id", "[wire][WIRE-6]") {
  CHECK(event({.event = "price", .data = "42"}) == "event: price\ndata: 42\n\n");
}

TEST_CASE("the default event's name is left out", "[wire][WIRE-4]") {
  CHECK(event({.event = "message", .data = "42"}) == "data: 42\n\n");
  CHECK(event({.event = "messages", .data = "42"}) == "event: messages\ndata: 42\n\n");
}

TEST_CASE("an empty payload is one empty data line", "[wire][WIRE-4]") { CHECK(data_lines("") == "data: \n\n"); }

TEST_CASE("a payload's leading space is kept behind the line's own", "[wire][WIRE-4]") {
  CHECK(data_lines(" x") == "data:  x\n\n");
}

TEST_CASE("a payload line that ends in LF becomes one data line", "[wire][WIRE-4]") {
  CHECK(data_lines("a\nb") == "data: a\ndata: b\n\n");
  CHECK(data_lines("a\n\nb") == "data: a\ndata: \ndata: b\n\n");
}

TEST_CASE("a payload line that ends in CR becomes one data line", "[wire][WIRE-4]") {
  CHECK(data_lines("a\rb") == "data: a\ndata: b\n\n");
  CHECK(data_lines("a\r\rb") == "data: a\ndata: \ndata: b\n\n");
}

TEST_CASE("a payload line that ends in CRLF becomes one data line", "[wire][WIRE-4]") {
  CHECK(data_lines("a\r\nb") == "data: a\ndata: b\n\n");
  CHECK(data_lines("a\r\n\r\nb") == "data: a\ndata: \ndata: b\n\n");
}

TEST_CASE("line ends of all kinds may be mixed", "[wire][WIRE-4]") {
  CHECK(data_lines("a\n\rb") == "data: a\ndata: \ndata: b\n\n");
  CHECK(data_lines("a\r\r\nb\nc\rd") == "data: a\ndata: \ndata: b\ndata: c\ndata: d\n\n");
  CHECK(data_lines("\r\n\n\r") == "data: \ndata: \ndata: \ndata: \n\n");
}

TEST_CASE("a payload that ends in a newline gives a last empty data line", "[wire][WIRE-4]") {
  CHECK(data_lines("a\n") == "data: a\ndata: \n\n");
  CHECK(data_lines("a\r") == "data: a\ndata: \n\n");
  CHECK(data_lines("a\r\n") == "data: a\ndata: \n\n");
  CHECK(data_lines("\n") == "data: \ndata: \n\n");
}

TEST_CASE("every payload of up to seven bytes of CR, LF and text is read back but for its kinds of line ends",
          "[wire][WIRE-4][HTML-9.2.6]") {
  const std::string alphabet = "\r\nx";
  for (std::size_t size = 0, count = 1; size <= 7; ++size, count *= 3) {
    for (std::size_t number = 0; number < count; ++number) {
      std::string payload, normal;
      for (std::size_t i = 0, rest = number; i < size; ++i, rest /= 3) payload += alphabet[rest % 3];
      for (std::size_t i = 0; i < size; ++i) {
        if (payload[i] == '\n' && i > 0 && payload[i - 1] == '\r') continue;
        normal += payload[i] == '\r' ? '\n' : payload[i];
      }
      // As a client reads it: each line without `data: `, joined by LF, up to the blank line.
      std::string read;
      std::string_view stream;
      const auto out = data_lines(payload);
      for (stream = out; stream.starts_with("data: ");) {
        const auto end = stream.find('\n');
        read += stream.substr(6, end - 6);
        read += '\n';
        stream.remove_prefix(end + 1);
      }
      read.pop_back();
      REQUIRE(stream == "\n");
      REQUIRE(read == normal);
    }
  }
}

TEST_CASE("a binary payload is base64, which the event's name says", "[wire][WIRE-4]") {
  CHECK(event({.id = "e-7", .event = "image", .data = "\r\n\xFF", .binary = true}) ==
        "id: e-7\nevent: image;base64\ndata: DQr/\n\n");
  CHECK(event({.id = "e-7", .data = "\xFF", .binary = true}) == "id: e-7\nevent: message;base64\ndata: /w==\n\n");
  CHECK(event({.event = "message", .data = "", .binary = true}) == "event: message;base64\ndata: \n\n");
}

TEST_CASE("events, comments and retry times are appended behind what is there", "[wire][WIRE-4]") {
  std::string out;
  append_sse_retry(out, 3s);
  append_sse_comment(out, "hello");
  append_sse_event(out, {.id = "e-0", .event = "downlink.open"});
  append_sse_event(out, {.id = "e-1", .data = "x"});
  CHECK(out == "retry: 3000\n\n: hello\n\nid: e-0\nevent: downlink.open\ndata: \n\nid: e-1\ndata: x\n\n");
}

TEST_CASE("a retry time is digits alone", "[wire][HTML-9.2.6]") {
  std::string out;
  append_sse_retry(out, 0ms);
  append_sse_retry(out, -5ms);
  append_sse_retry(out, std::chrono::milliseconds::max());
  CHECK(out == "retry: 0\n\nretry: 0\n\nretry: 9223372036854775807\n\n");
}

TEST_CASE("an event's name is UTF-8 on one line that is not the library's own", "[wire][WIRE-4]") {
  CHECK(valid_event_name(""));
  CHECK(valid_event_name("message"));
  CHECK(valid_event_name("price.btc"));
  CHECK(valid_event_name("na\xC3\xAFve"));
  CHECK(valid_event_name("downlink"));
  CHECK(valid_event_name("my.downlink.x"));
  CHECK(valid_event_name("a;base64;b"));
  CHECK_FALSE(valid_event_name("downlink."));
  CHECK_FALSE(valid_event_name("downlink.open"));
  CHECK_FALSE(valid_event_name("image;base64"));
  CHECK_FALSE(valid_event_name(";base64"));
  CHECK_FALSE(valid_event_name("a\rb"));
  CHECK_FALSE(valid_event_name("a\nb"));
  CHECK_FALSE(valid_event_name("a\0b"s));
  CHECK_FALSE(valid_event_name("a\xFF"));
  CHECK_FALSE(valid_event_name("a\xC3"));
}
