#include "downlink/wire/json.hpp"

#include <cstddef>
#include <string>

#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::wire;
using namespace std::string_literals;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string poll_message(const MessageView& message) {
  std::string out;
  append_poll_message(out, message);
  return out;
}

}  // namespace

TEST_CASE("a JSON string escapes quotes, backslashes and control characters", "[wire][RFC8259-7]") {
  CHECK(quoted("") == R"("")");
  CHECK(quoted("plain") == R"("plain")");
  CHECK(quoted(R"(say "a\b")") == R"("say \"a\\b\"")");
  CHECK(quoted("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  CHECK(quoted("\0\x01\x0B\x1F"s) == R"("\u0000\u0001\u000b\u001f")");
  CHECK(quoted(" ~\x7F/") == "\" ~\x7F/\"");
}

TEST_CASE("a JSON string leaves characters beyond ASCII as they are", "[wire][RFC8259-8.1]") {
  CHECK(quoted("\xC3\xA9 \xE2\x80\xA8 \xF0\x9D\x84\x9E") == "\"\xC3\xA9 \xE2\x80\xA8 \xF0\x9D\x84\x9E\"");
}

TEST_CASE("every byte is escaped, or not, the same at every place of a long run", "[wire][RFC8259-7]") {
  for (int value = 0; value < 256; ++value) {
    const auto byte = static_cast<char>(value);
    const bool plain = value >= 0x20 && byte != '"' && byte != '\\';
    const auto alone = quoted({&byte, 1});
    REQUIRE((alone == '"' + std::string(1, byte) + '"') == plain);
    const auto escaped = alone.substr(1, alone.size() - 2);
    for (std::size_t place = 0; place < 20; ++place) {
      for (const char other : {'x', '!', '#', '[', ']', '\x7F', '\x80', '\xFF'}) {
        std::string text(20, other);
        text[place] = byte;
        REQUIRE(quoted(text) == '"' + std::string(place, other) + escaped + std::string(19 - place, other) + '"');
      }
    }
  }
}

TEST_CASE("a JSON string is appended behind what is there", "[wire][RFC8259-7]") {
  std::string out = "[";
  append_json_string(out, "a\"");
  append_json_string(out, "b");
  CHECK(out == R"(["a\"""b")");
}

TEST_CASE("a poll answer's message has an id, its event and its payload", "[wire][WIRE-3]") {
  CHECK(poll_message({.id = "e-1", .event = "price", .data = R"({"a":1})"}) ==
        R"(,{"id":"e-1","event":"price","data":"{\"a\":1}"})");
  CHECK(poll_message({.id = "e-1", .event = "a\"b", .data = "line\n"}) ==
        R"(,{"id":"e-1","event":"a\"b","data":"line\n"})");
  CHECK(poll_message({.id = "e-1"}) == R"(,{"id":"e-1","data":""})");
}

TEST_CASE("a poll answer leaves out the default event under both its names", "[wire][WIRE-3]") {
  CHECK(poll_message({.id = "e-1", .data = "x"}) == R"(,{"id":"e-1","data":"x"})");
  CHECK(poll_message({.id = "e-1", .event = "message", .data = "x"}) == R"(,{"id":"e-1","data":"x"})");
}

TEST_CASE("a poll answer's binary payload is base64 and says so", "[wire][WIRE-3]") {
  CHECK(poll_message({.id = "e-1", .data = "\xFF\xFE", .binary = true}) ==
        R"(,{"id":"e-1","data":"//4=","encoding":"base64"})");
  CHECK(poll_message({.id = "e-1", .event = "b", .data = "", .binary = true}) ==
        R"(,{"id":"e-1","event":"b","data":"","encoding":"base64"})");
}
