#include "conformance/conversation.hpp"

using namespace downlink::testing;

namespace {

// The same whole, byte by byte, and in pieces that cut heads and payloads elsewhere.
void answers(const std::string& bytes, const std::vector<Expected>& frames) {
  Echo echo;
  for (const std::size_t piece : {0u, 1u, 3u}) {
    CAPTURE(piece);
    echo.answers(bytes, frames, piece);
  }
}
void fails(const std::string& bytes, const std::vector<Expected>& frames = {}) {
  Echo echo;
  for (const std::size_t piece : {0u, 1u, 3u}) {
    CAPTURE(piece);
    echo.fails(bytes, 1002, frames, piece);
  }
}

std::string twice(const std::string& bytes) { return bytes + bytes; }

}  // namespace

TEST_CASE("fragments are joined to one message of the first one's kind", "[conformance][RFC6455-5.4]") {
  answers(first_fragment("fragment1") + last_fragment("fragment2"), {{ws_text, "fragment1fragment2"}});
  answers(first_fragment("\xFF", ws_binary) + fragment("\xFE") + last_fragment({"\0", 1}),
          {{ws_binary, {"\xFF\xFE\0", 3}}});
  answers(twice(first_fragment("a") + fragment("b") + fragment("c") + last_fragment("d")),
          {{ws_text, "abcd"}, {ws_text, "abcd"}});
  answers(first_fragment("a") + last_fragment("b") + first_fragment("c", ws_binary) + last_fragment("d"),
          {{ws_text, "ab"}, {ws_binary, "cd"}});
}

TEST_CASE("fragments may be empty", "[conformance][RFC6455-5.4]") {
  answers(first_fragment({}) + last_fragment({}), {{ws_text, {}}});
  answers(first_fragment({}) + fragment({}) + last_fragment({}), {{ws_text, {}}});
  answers(first_fragment({}, ws_binary) + fragment("x") + last_fragment({}), {{ws_binary, "x"}});
  answers(first_fragment({}) + fragment({}) + last_fragment("end") + text_frame("next"),
          {{ws_text, "end"}, {ws_text, "next"}});
}

TEST_CASE("a message of a thousand fragments is one message", "[conformance][RFC6455-5.4]") {
  std::string bytes = first_fragment("0");
  std::string whole = "0";
  for (int i = 1; i < 1000; ++i) {
    bytes += fragment(std::to_string(i));
    whole += std::to_string(i);
  }
  answers(bytes + last_fragment("."), {{ws_text, whole + "."}});
}

TEST_CASE("a ping between fragments is answered at once, and the message goes on", "[conformance][RFC6455-5.4]") {
  answers(first_fragment("a") + ping_frame("p") + last_fragment("b"), {{ws_pong, "p"}, {ws_text, "ab"}});
  answers(first_fragment("a", ws_binary) + ping_frame() + fragment("b") + ping_frame(noise(125)) + pong_frame("?") +
              last_fragment("c"),
          {{ws_pong, {}}, {ws_pong, noise(125)}, {ws_binary, "abc"}});
  answers(first_fragment({}) + ping_frame("p") + last_fragment({}), {{ws_pong, "p"}, {ws_text, {}}});
  std::string bytes;
  std::vector<Expected> frames;
  for (int message = 0; message < 3; ++message) {
    bytes += first_fragment("f1");
    for (int i = 0; i < 4; ++i) {
      bytes += ping_frame(std::to_string(i)) + fragment("f");
      frames.push_back({ws_pong, std::to_string(i)});
    }
    bytes += last_fragment("l");
    frames.push_back({ws_text, "f1ffffl"});
  }
  answers(bytes, frames);

  Echo echo;
  auto client = echo.connect();
  client.connection().send(first_fragment("a") + ping_frame("now"));
  Echo::expect(client, {{ws_pong, "now"}});
  client.connection().send(last_fragment("b"));
  Echo::expect(client, {{ws_text, "ab"}});
}

TEST_CASE("a fragmented control frame fails with 1002", "[conformance][RFC6455-5.5]") {
  for (const unsigned opcode : {ws_ping, ws_pong, ws_close}) {
    CAPTURE(opcode);
    const auto first = client_frame(opcode, opcode == ws_close ? close_payload(1000) : "f1", {.fin = false});
    fails(first + last_fragment("f2"));
    fails(first_fragment("a") + first + last_fragment("b"));
    fails(text_frame("whole") + first, {{ws_text, "whole"}});
  }
}

TEST_CASE("a continuation without a message fails with 1002", "[conformance][RFC6455-5.4]") {
  fails(last_fragment("x"));
  fails(fragment("x") + last_fragment("y"));
  fails(last_fragment({}));
  fails(fragment({}));
  fails(text_frame("whole") + last_fragment("x"), {{ws_text, "whole"}});
  fails(fragment("x") + text_frame("whole"));
  fails(first_fragment("a") + last_fragment("b") + last_fragment("c"), {{ws_text, "ab"}});
  fails(first_fragment("a") + last_fragment("b") + fragment("c") + text_frame("d"), {{ws_text, "ab"}});
  fails(ping_frame("p") + last_fragment("x"), {{ws_pong, "p"}});
}

TEST_CASE("a new message before the last one's end fails with 1002", "[conformance][RFC6455-5.4]") {
  fails(first_fragment("a") + text_frame("b"));
  fails(first_fragment("a") + first_fragment("b") + last_fragment("c"));
  fails(first_fragment("a") + binary_frame("b"));
  fails(first_fragment("a", ws_binary) + text_frame("b"));
  fails(first_fragment("a") + fragment("b") + text_frame("c") + last_fragment("d"));
  fails(first_fragment("a") + ping_frame("p") + text_frame("b"), {{ws_pong, "p"}});
  fails(first_fragment({}) + text_frame({}));
}

TEST_CASE("fragments cut a text within its characters", "[conformance][RFC6455-5.6]") {
  const std::string whole = "\u03ba\u1f79\u03c3\u03bc\u03b5 \U0010FFFF";
  std::string bytes = first_fragment({});
  for (const char c : whole) bytes += fragment({&c, 1});
  answers(bytes + last_fragment({}), {{ws_text, whole}});
}
