#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <downlink/deflate.hpp>

#include "support/catch.hpp"
#include "support/deflate.hpp"

using namespace downlink;
using namespace downlink::testing;

namespace {

using Encode = void (*)(std::string&, const MessageView&);

template <class F>
std::vector<Encode> forms() {
  std::vector<Encode> all;
  for (const auto& ops : detail::deflated_ops<F>) all.push_back(ops.form->encode);
  return all;
}

/// The one frame that a message becomes.
WebSocketFrame encoded(Encode encode, const MessageView& message) {
  std::string bytes = "what stands before";
  const std::size_t begin = bytes.size();
  encode(bytes, message);
  WebSocketParser parser;
  parser.feed(std::string_view{bytes}.substr(begin));
  auto frame = parser.next().value();
  REQUIRE_FALSE(parser.next());
  REQUIRE_FALSE(parser.mid_frame());
  REQUIRE(bytes.starts_with("what stands before"));
  REQUIRE(frame.fin);
  return frame;
}

/// Text in which the same things come again, at all distances up to its length.
std::string repetitive(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size) {
    if (text.size() > 40 && random() % 3 != 0) {
      const std::size_t from = random() % (text.size() - 20);
      text += text.substr(from, 4 + random() % 40);
    } else {
      for (int i = 0; i < 8; ++i) text += static_cast<char>('a' + random() % 26);
    }
  }
  text.resize(size);
  return text;
}

std::string noise(std::size_t size) {
  std::mt19937 random(1);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

}  // namespace

TEST_CASE("what is sent inflates with exactly the window that was agreed on", "[deflate][RFC7692-7.1.2.1][wire-5]") {
  for (const std::size_t size :
       {31u, 32u, 100u, 249u, 256u, 257u, 300u, 511u, 700u, 1'500u, 5'000u, 20'000u, 33'000u, 70'000u}) {
    for (const bool binary : {false, true}) {
      const std::string data = repetitive(size, static_cast<unsigned>(size));
      int bits = 8;
      for (const auto encode : forms<detail::WebSocketRaw>()) {
        INFO(size << " bytes, " << bits << " bits");
        const auto frame = encoded(encode, {.id = "id", .event = "e", .data = data, .binary = binary});
        CHECK(frame.opcode == (binary ? ws_binary : ws_text));
        CHECK((frame.rsv == 4 || (frame.rsv == 0 && size < 200) || bits == 8));
        CHECK(((frame.rsv == 4 ? inflated(frame.payload, bits) : frame.payload) == data));
        ++bits;
      }
    }
  }
}

TEST_CASE("distances that a window has no room for are not used", "[deflate][RFC7692-7.1.2.1]") {
  // Noise, the same again: each period can be seen only in a window that is larger than it.
  for (std::size_t bits = 8; bits <= 15; ++bits) {
    const std::string period = noise((std::size_t{1} << bits) - 200);
    const std::string data = period + period + period;
    for (std::size_t agreed = 8; agreed <= 15; ++agreed) {
      INFO("a period for " << bits << " bits, " << agreed << " agreed on");
      const auto frame = encoded(forms<detail::WebSocketRaw>()[agreed - 8], {.data = data, .binary = true});
      if (frame.rsv == 4) CHECK((inflated(frame.payload, static_cast<int>(agreed)) == data));
      if (bits > 8 && agreed > bits) CHECK(frame.payload.size() < data.size() / 2);
    }
  }
}

TEST_CASE("the subprotocol's fields are compressed with the payload", "[deflate][wire-5]") {
  const std::string data = repetitive(1'000, 7);
  int bits = 8;
  for (const auto encode : forms<detail::WebSocketV1>()) {
    auto frame = encoded(encode, {.id = "epoch-17", .event = "price", .data = data});
    REQUIRE(frame.rsv == 4);
    frame.payload = inflated(frame.payload, bits++);
    const V1Message message{frame};
    CHECK(message.id == "epoch-17");
    CHECK(message.event == "price");
    CHECK(message.data == data);
  }
}

TEST_CASE("a message that does not shrink is sent uncompressed", "[deflate][RFC7692-6.1][wire-5]") {
  for (const auto& data : {std::string(), std::string("x"), std::string(31, 'x'), noise(32), noise(125), noise(126),
                           noise(1'000), noise(65'535), noise(65'536), noise(300'000)}) {
    for (const auto encode : forms<detail::WebSocketRaw>()) {
      INFO(data.size());
      const auto frame = encoded(encode, {.data = data, .binary = true});
      CHECK(frame.rsv == 0);
      CHECK((frame.payload == data));
    }
  }
}

TEST_CASE("a large message shrinks whatever the head of its frame", "[deflate][RFC7692-7.2.1]") {
  for (const std::size_t size : {200u, 70'000u, 300'000u}) {
    const std::string data(size, 'z');
    for (const auto encode : forms<detail::WebSocketRaw>()) {
      const auto frame = encoded(encode, {.data = data});
      REQUIRE(frame.rsv == 4);
      CHECK(frame.payload.size() < 20 + size / 100);
      CHECK((inflated(frame.payload) == data));
    }
  }
}

TEST_CASE("each window and subprotocol is a wire form of its own", "[deflate][wire-5]") {
  std::vector<detail::Form> seen;
  const auto note = [&](const auto& all) {
    for (const auto& ops : all) {
      CHECK(std::find(seen.begin(), seen.end(), ops.form) == seen.end());
      seen.push_back(ops.form);
    }
  };
  note(detail::deflated_ops<detail::WebSocketRaw>);
  note(detail::deflated_ops<detail::WebSocketV1>);
  CHECK(seen.size() == 16);
}
