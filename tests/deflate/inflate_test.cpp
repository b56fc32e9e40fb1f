#include <cstddef>
#include <random>
#include <string>
#include <string_view>

#include <downlink/deflate.hpp>

#include "deflate/zlib_counts.hpp"
#include "support/catch.hpp"
#include "support/deflate.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::string_literals;

namespace {

using Kind = wire::WebSocketEvent::Kind;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

struct Inflated {
  std::uint16_t code = 0;
  std::string data = {};
};

Inflated inflate_once(std::string_view payload, std::size_t max_message, bool binary = false) {
  Inflated result;
  const auto found = inflate_message(payload, binary, max_message, result.data);
  CHECK((found.kind == Kind::message) == (found.code == 0));
  CHECK((found.kind == Kind::message || found.kind == Kind::error));
  if (found.kind == Kind::message) {
    CHECK(found.payload.data() == result.data.data());
    CHECK(found.payload.size() == result.data.size());
    CHECK(found.binary == binary);
  }
  CHECK(zlib_counts.inflating == 0);
  CHECK(zlib_counts.memory == 0);
  result.code = found.code;
  return result;
}

/// The same, having checked that it comes to the same in pieces.
Inflated inflate(std::string_view payload, std::size_t max_message = mebibyte, bool binary = false) {
  auto result = inflate_once(payload, max_message, binary);
  for (const std::size_t piece : {1u, 7u, 1000u}) {
    std::string data;
    const auto again = inflate_message(payload, binary, max_message, data, piece);
    CHECK(again.code == result.code);
    if (result.code == 0) CHECK((data == result.data));
  }
  return result;
}

/// What a good message holds.
std::string text_of(std::string_view payload) {
  auto result = inflate(payload);
  CHECK(result.code == 0);
  return result.data;
}

}  // namespace

TEST_CASE("the messages that RFC 7692 shows are inflated", "[deflate][RFC7692-7.2.3]") {
  CHECK(text_of("\xf2\x48\xcd\xc9\xc9\x07\x00"s) == "Hello");                          // §7.2.3.1
  CHECK(text_of("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"s) == "Hello");          // §7.2.3.3
  CHECK(text_of("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"s) == "Hello");                      // §7.2.3.4
  CHECK(text_of("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"s) == "Hello");  // §7.2.3.5
  CHECK(text_of("\x00"s).empty());                                                     // §7.2.3.6
  CHECK(inflate("\xf2\x00\x11\x00\x00"s).code == 1007);  // §7.2.3.2, whose window is another message's
}

TEST_CASE("final blocks may be followed by more, from the next byte on", "[deflate][RFC7692-7.2.1][RFC7692-7.2.3.4]") {
  const auto hello = "\xf3\x48\xcd\xc9\xc9\x07\x00"s;
  CHECK(text_of(hello) == "Hello");  // without the empty block's byte
  CHECK(text_of(hello + hello + '\0') == "HelloHello");
  CHECK(text_of(hello + "\xf2\x48\xcd\xc9\xc9\x07\x00"s) == "HelloHello");
  CHECK(text_of(deflated(std::string(100'000, 'x'), true)) == std::string(100'000, 'x'));
  CHECK(inflate(hello + "garbage").code == 1007);
  CHECK(inflate(hello + "\xFF").code == 1007);
}

TEST_CASE("what a client compresses comes out, whatever its size", "[deflate][RFC7692-7.2.2]") {
  std::mt19937 random(3);
  for (const std::size_t size : {0u, 1u, 5u, 100u, 16'383u, 16'384u, 16'385u, 32'768u, 50'000u, 200'000u}) {
    std::string words;
    while (words.size() < size) words += static_cast<char>('a' + random() % 4);
    INFO(size);
    CHECK((text_of(deflated(words)) == words));
    CHECK((text_of(deflated(words, true)) == words));
  }
  CHECK(text_of("").empty());
  // Where messages have no bound that could be room for them.
  const auto unbounded = inflate_once(deflated(words(200'000)), std::string::npos / 2);
  CHECK(unbounded.code == 0);
  CHECK((unbounded.data == words(200'000)));
}

TEST_CASE("data that does not inflate is 1007", "[deflate][wire-5]") {
  for (const auto& payload : {"\xFF"s, "\xFF\xFF\xFF\xFF"s, "\x06"s, "not deflated"s, "\x00\x05\x00\xfa\xfe"s}) {
    CHECK(inflate(payload).code == 1007);
    CHECK(inflate(payload, mebibyte, true).code == 1007);
  }
  // Cut anywhere, it is not whole.
  const std::string payload = deflated("a message of some words, which are compressed, as words are: words, words");
  for (std::size_t size = 1; size < payload.size(); ++size) {
    INFO(size);
    CHECK(inflate(payload.substr(0, size)).code == 1007);
  }
  CHECK(inflate(payload).code == 0);
  CHECK(inflate(payload + '\0').code == 1007);
  CHECK(inflate(payload + "\x00\x00\xFF\xFF"s).code == 1007);  // this is to be left out
  // A block that ends within the four bytes left out, whose last bits would begin one of a kind that there is not.
  CHECK(inflate("\x04\xC0\x49\x8A\x24\x41\x10\x04\xC1\xB7\x89\x9A\x47\x56\xCF\xFF\x3F\x34\x00"s, mebibyte, true).code ==
        1007);
}

TEST_CASE("no bytes at all are too many or too few for it", "[deflate]") {
  std::mt19937 random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = round % 2 == 0 ? deflated("some text that is cut up, some text, some text") : std::string();
    if (bytes.empty()) {
      for (auto left = random() % 60; left > 0; --left) bytes += static_cast<char>(random());
    } else {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto result = inflate(bytes, 1'000);
    REQUIRE((result.code == 0 || result.code == 1007 || result.code == 1009));
    REQUIRE(result.data.size() <= 1'000);
  }
}

TEST_CASE("text is checked as it inflates", "[deflate][RFC6455-8.1][wire-5]") {
  CHECK(text_of(deflated("gr\u00fc\u00df \u4e16")) == "gr\u00fc\u00df \u4e16");
  for (const auto& bad : {"\xFF"s, "ok\xC3"s, "\xED\xA0\x80"s, "\xC0\xAF"s}) {
    CHECK(inflate(deflated(bad)).code == 1007);
    CHECK(inflate(deflated(bad), mebibyte, true).code == 0);
  }
  // A character on the border between two pieces.
  const std::string border = std::string(16'383, 'x') + "\u00fc" + std::string(20'000, 'y');
  CHECK((text_of(deflated(border)) == border));

  const auto before = zlib_counts.bytes.load();
  CHECK(inflate_once(deflated("\xFF" + std::string(50 * mebibyte, 'x')), 100 * mebibyte).code == 1007);
  CHECK(zlib_counts.bytes - before <= 16 << 10);
}

TEST_CASE("a message may have as many bytes as the limit says, and not one more", "[deflate][wire-5]") {
  for (const std::size_t limit : {std::size_t{1}, std::size_t{100}, std::size_t{16} << 10, std::size_t{100'000}}) {
    const auto most = inflate(deflated(std::string(limit, 'x')), limit);
    CHECK(most.code == 0);
    CHECK(most.data.size() == limit);
    CHECK(inflate(deflated(std::string(limit + 1, 'x')), limit).code == 1009);
  }
}

TEST_CASE("a bomb costs no more than the limit and 64 KiB", "[deflate][wire-5]") {
  const std::string bomb = deflated(std::string(64 * mebibyte, '\0'));
  for (const bool binary : {false, true}) {
    zlib_counts.most_memory = 0;
    const auto before = zlib_counts.bytes.load();
    const auto result = inflate_once(bomb, mebibyte, binary);
    CHECK(result.code == 1009);
    CHECK(zlib_counts.bytes - before <= mebibyte + (16 << 10));
    CHECK(zlib_counts.most_memory + (16 << 10) + result.data.capacity() <= mebibyte + (64 << 10));
  }
  zlib_counts.most_memory = 0;
  const auto before = zlib_counts.bytes.load();
  const auto result = inflate_once(deflated(std::string(mebibyte, '\0')), mebibyte);
  CHECK(result.code == 0);
  CHECK(result.data.size() == mebibyte);
  CHECK(zlib_counts.bytes - before == mebibyte);
  CHECK(zlib_counts.most_memory + (16 << 10) + result.data.capacity() <= mebibyte + (64 << 10) + 1);
}
