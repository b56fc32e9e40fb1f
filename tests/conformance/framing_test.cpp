#include "conformance/conversation.hpp"

using namespace downlink::testing;

namespace {

constexpr std::size_t sizes[] = {0, 1, 125, 126, 127, 128, 255, 256, 65535, 65536, 65537};

std::vector<Expected> repeated(std::size_t count, const Expected& frame) { return std::vector(count, frame); }

}  // namespace

TEST_CASE("text and binary messages of every form of length come back", "[conformance][RFC6455-5.2]") {
  Echo echo;
  for (const std::size_t size : sizes) {
    CAPTURE(size);
    echo.answers(text_frame(prose(size)), {{ws_text, prose(size)}});
    echo.answers(binary_frame(noise(size)), {{ws_binary, noise(size)}});
  }
}

TEST_CASE("a message comes back in whatever pieces it is sent", "[conformance][RFC6455-5.2]") {
  Echo echo;
  for (const std::size_t size : sizes) {
    for (const std::size_t piece : {1u, 2u, 5u, 997u}) {
      if (size > 1000 && piece < 5) continue;
      CAPTURE(size, piece);
      echo.answers(text_frame(prose(size)) + binary_frame(noise(size)),
                   {{ws_text, prose(size)}, {ws_binary, noise(size)}}, piece);
    }
  }
}

TEST_CASE("any mask will do, also one of zeros", "[conformance][RFC6455-5.3]") {
  Echo echo;
  for (const std::uint32_t mask : {0u, 1u, 0xFFFFFFFFu, 0x80000000u, 0x81858A0Du}) {
    CAPTURE(mask);
    const auto bytes = noise(1021);
    echo.answers(binary_frame(bytes, {.mask = mask}) + text_frame("x", {.mask = mask}),
                 {{ws_binary, bytes}, {ws_text, "x"}}, 7);
  }
}

TEST_CASE("a frame without a mask fails with 1002", "[conformance][RFC6455-5.1]") {
  Echo echo;
  const FrameShape bare{.masked = false};
  for (const unsigned opcode : {ws_text, ws_binary, ws_ping, ws_pong}) {
    CAPTURE(opcode);
    echo.fails(client_frame(opcode, "x", bare), 1002);
    echo.fails(client_frame(opcode, {}, bare), 1002);
  }
  echo.fails(client_frame(ws_close, close_payload(1000), bare), 1002);
  echo.fails(text_frame("one") + text_frame(prose(70000), bare), 1002, {{ws_text, "one"}});
  echo.fails(first_fragment("a") + client_frame(ws_continuation, "b", bare), 1002);
}

TEST_CASE("a length that is not in its shortest form fails with 1002", "[conformance][RFC6455-5.2]") {
  Echo echo;
  const auto head = [](unsigned second, std::initializer_list<int> length) {
    std::string bytes{'\x82', static_cast<char>(second)};
    for (const int byte : length) bytes += static_cast<char>(byte);
    return bytes;
  };
  echo.fails(head(0xFE, {0, 125}), 1002);
  echo.fails(head(0xFE, {0, 0}), 1002);
  echo.fails(head(0xFF, {0, 0, 0, 0, 0, 0, 0, 125}), 1002);
  echo.fails(head(0xFF, {0, 0, 0, 0, 0, 0, 0xFF, 0xFF}), 1002);
  // RFC 6455 §5.2: the most significant bit must be 0.
  echo.fails(head(0xFF, {0x80, 0, 0, 0, 0, 1, 0, 0}), 1002);
  echo.fails(head(0xFF, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), 1002);
  echo.fails(head(0xFF, {0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), 1009);
}

TEST_CASE("pings of 0 to 125 bytes are answered with their payload", "[conformance][RFC6455-5.5.2]") {
  Echo echo;
  std::string all;
  std::vector<Expected> pongs;
  for (std::size_t size = 0; size <= 125; ++size) {
    all += ping_frame(noise(size));
    pongs.push_back({ws_pong, noise(size)});
  }
  echo.answers(all, pongs);
  echo.answers(all, pongs, 3);
  echo.answers(ping_frame("Hello"), {{ws_pong, "Hello"}}, 1);
}

TEST_CASE("a ping of more than 125 bytes fails with 1002", "[conformance][RFC6455-5.5]") {
  Echo echo;
  for (const unsigned opcode : {ws_ping, ws_pong, ws_close}) {
    for (const std::size_t size : {126u, 127u, 65536u}) {
      CAPTURE(opcode, size);
      echo.fails(client_frame(opcode, std::string(size, 'x')), 1002);
    }
  }
}

TEST_CASE("many pings without waiting are all answered, in order", "[conformance][RFC6455-5.5.2]") {
  Echo echo;
  for (const std::size_t piece : {0u, 1u}) {
    std::string all;
    std::vector<Expected> pongs;
    for (int i = 0; i < (piece == 0 ? 10'000 : 100); ++i) {
      all += ping_frame("payload-" + std::to_string(i));
      pongs.push_back({ws_pong, "payload-" + std::to_string(i)});
    }
    echo.answers(all, pongs, piece);
  }
}

TEST_CASE("a pong that nobody asked for is passed over", "[conformance][RFC6455-5.5.3]") {
  Echo echo;
  echo.answers(pong_frame(), {});
  echo.answers(pong_frame("unasked"), {});
  echo.answers(pong_frame("one") + ping_frame("two") + pong_frame(noise(125)) + text_frame("three"),
               {{ws_pong, "two"}, {ws_text, "three"}}, 1);
}

TEST_CASE("a reserved bit on any kind of frame fails with 1002", "[conformance][RFC6455-5.2]") {
  Echo echo;
  for (unsigned rsv = 1; rsv < 8; ++rsv) {
    for (const unsigned opcode : {ws_text, ws_binary, ws_ping, ws_pong}) {
      for (const std::size_t piece : {0u, 1u}) {
        CAPTURE(rsv, opcode, piece);
        echo.fails(text_frame("before") + client_frame(opcode, "x", {.rsv = rsv}) + text_frame("after"), 1002,
                   {{ws_text, "before"}}, piece);
        echo.fails(client_frame(opcode, {}, {.rsv = rsv}) + ping_frame(), 1002, {}, piece);
      }
    }
    CAPTURE(rsv);
    echo.fails(client_frame(ws_close, close_payload(1000), {.rsv = rsv}), 1002);
    echo.fails(first_fragment("a") + client_frame(ws_continuation, "b", {.rsv = rsv}), 1002);
    echo.fails(client_frame(ws_text, "a", {.fin = false, .rsv = rsv}) + last_fragment("b"), 1002);
    // It is known with the frame's first byte.
    echo.fails(std::string(1, static_cast<char>(0x81u | rsv << 4)), 1002);
  }
}

TEST_CASE("a reserved opcode fails with 1002", "[conformance][RFC6455-5.2]") {
  Echo echo;
  for (const unsigned opcode : {3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 14u, 15u}) {
    for (const std::string payload : {"", "reserved"}) {
      for (const std::size_t piece : {0u, 1u}) {
        CAPTURE(opcode, payload, piece);
        echo.fails(client_frame(opcode, payload), 1002, {}, piece);
        echo.fails(text_frame("good") + ping_frame("p") + client_frame(opcode, payload) + ping_frame(), 1002,
                   {{ws_text, "good"}, {ws_pong, "p"}}, piece);
        echo.fails(first_fragment("a") + client_frame(opcode, payload) + last_fragment("b"), 1002, {}, piece);
      }
    }
    echo.fails(client_frame(opcode, "x", {.fin = false}), 1002);
    echo.fails(std::string(1, static_cast<char>(0x80u | opcode)), 1002);
  }
}

TEST_CASE("good frames before a bad one are all answered first", "[conformance][RFC6455-7.1.7]") {
  Echo echo;
  std::string all;
  for (int i = 0; i < 1000; ++i) all += text_frame("good");
  echo.fails(all + client_frame(7, "bad") + text_frame("never"), 1002, repeated(1000, {ws_text, "good"}));
}
