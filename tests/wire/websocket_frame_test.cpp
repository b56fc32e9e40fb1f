#include "downlink/wire/websocket_frame.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "support/catch.hpp"

using namespace downlink::wire;
using namespace std::string_literals;

namespace {

std::string header(Opcode opcode, std::uint64_t size, bool fin = true, bool rsv1 = false) {
  std::string out;
  append_frame_header(out, opcode, size, fin, rsv1);
  return out;
}

std::string frame(Opcode opcode, std::string_view payload) {
  std::string out;
  append_frame(out, opcode, payload);
  return out;
}

std::string close_frame(std::uint16_t code, std::string_view reason = {}) {
  std::string out;
  append_close_frame(out, code, reason);
  return out;
}

}  // namespace

TEST_CASE("the standard's example frames of a server are written byte for byte", "[wire][RFC6455-5.7]") {
  CHECK(frame(Opcode::text, "Hello") == "\x81\x05\x48\x65\x6c\x6c\x6f");
  CHECK(header(Opcode::text, 3, false) + "Hel" == "\x01\x03\x48\x65\x6c");
  CHECK(header(Opcode::continuation, 2) + "lo" == "\x80\x02\x6c\x6f");
  CHECK(frame(Opcode::ping, "Hello") == "\x89\x05\x48\x65\x6c\x6c\x6f");
  CHECK(header(Opcode::binary, 256) == "\x82\x7E\x01\x00"s);
  CHECK(header(Opcode::binary, 65536) == "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s);
}

TEST_CASE("a frame's length takes its shortest form", "[wire][RFC6455-5.2]") {
  CHECK(header(Opcode::text, 0) == "\x81\x00"s);
  CHECK(header(Opcode::text, 125) == "\x81\x7D");
  CHECK(header(Opcode::text, 126) == "\x81\x7E\x00\x7E"s);
  CHECK(header(Opcode::text, 65535) == "\x81\x7E\xFF\xFF");
  CHECK(header(Opcode::text, 0x0123456789ABCDEF) == "\x81\x7F\x01\x23\x45\x67\x89\xAB\xCD\xEF");
}

TEST_CASE("the first frame of a compressed message has its first reserved bit set", "[wire][RFC7692-6]") {
  CHECK(header(Opcode::text, 7, true, true) == "\xC1\x07");
  CHECK(header(Opcode::binary, 7, false, true) == "\x42\x07");
}

TEST_CASE("a frame is appended behind what is there", "[wire][RFC6455-5.2]") {
  std::string out = frame(Opcode::text, "a");
  append_frame(out, Opcode::pong, "b");
  append_close_frame(out, 1001, "c");
  CHECK(out ==
        "\x81\x01"
        "a\x8A\x01"
        "b\x88\x03\x03\xE9"
        "c");
}

TEST_CASE("a close frame holds the code and the reason", "[wire][RFC6455-5.5.1]") {
  CHECK(close_frame(1000) == "\x88\x02\x03\xE8");
  CHECK(close_frame(4001, "gap") == "\x88\x05\x0F\xA1gap");
}

TEST_CASE("a close frame for no code holds nothing", "[wire][RFC6455-7.4.1]") {
  CHECK(close_frame(1005, "x") == "\x88\x00"s);
}

TEST_CASE("a close reason is cut to 123 bytes between characters", "[wire][RFC6455-5.5]") {
  const std::string head = "\x88\x7D\x03\xE8";
  CHECK(close_frame(1000, std::string(123, 'x')) == head + std::string(123, 'x'));
  CHECK(close_frame(1000, std::string(124, 'x')) == head + std::string(123, 'x'));
  CHECK(close_frame(1000, std::string(121, 'x') + "\xC3\xA9" + "y") == head + std::string(121, 'x') + "\xC3\xA9");
  CHECK(close_frame(1000, std::string(122, 'x') + "\xC3\xA9") == "\x88\x7C\x03\xE8" + std::string(122, 'x'));
  CHECK(close_frame(1000, std::string(120, 'x') + "\xF0\x9F\x98\x80") == "\x88\x7A\x03\xE8" + std::string(120, 'x'));
}

TEST_CASE("a close reason that is not UTF-8 is left out", "[wire][RFC6455-5.5.1][RFC6455-7.1.6]") {
  const auto* reason = GENERATE("\xFF", "caf\xE9", "\xC3", "\xED\xA0\x80", "\xC0\xAF");
  CHECK(close_frame(1008, reason) == "\x88\x02\x03\xF0");
  CHECK(close_frame(1008, std::string(200, 'x') + reason) == "\x88\x7D\x03\xF0" + std::string(123, 'x'));
  CHECK(close_frame(1008, reason + std::string(200, 'x')) == "\x88\x02\x03\xF0");
  CHECK(close_frame(1008, std::string(200, '\x80')) == "\x88\x02\x03\xF0");
}

TEST_CASE("a peer may send the close codes that are defined, registered or private", "[wire][RFC6455-7.4]") {
  for (std::uint32_t code = 0; code <= 0xFFFF; ++code) {
    const bool allowed =
        (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code < 5000);
    if (valid_close_code(static_cast<std::uint16_t>(code)) != allowed) FAIL("close code " << code);
  }
  CHECK(valid_close_code(1000));
  CHECK_FALSE(valid_close_code(1005));
}

TEST_CASE("the standard's masked frame is unmasked", "[wire][RFC6455-5.7]") {
  std::string bytes = "\x7f\x9f\x4d\x51\x58";
  unmask(bytes, {0x37, 0xfa, 0x21, 0x3d}, 0);
  CHECK(bytes == "Hello");
}

TEST_CASE("unmasking gives the same whatever the length and the phase it begins with", "[wire][RFC6455-5.3]") {
  constexpr std::array<unsigned char, 4> key{0x12, 0x84, 0xF7, 0x3C};
  for (std::size_t size = 0; size < 40; ++size) {
    for (std::size_t phase = 0; phase < 9; ++phase) {
      std::string bytes, expected;
      for (std::size_t i = 0; i < size; ++i) {
        bytes += static_cast<char>(i * 37);
        expected += static_cast<char>((i * 37 & 0xFF) ^ key[(phase + i) % 4]);
      }
      unmask(bytes, key, phase);
      REQUIRE(bytes == expected);
    }
  }
}
