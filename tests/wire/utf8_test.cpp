#include "downlink/wire/utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

#include "support/catch.hpp"

using namespace downlink::wire;

namespace {

/// The index of the byte at which the validator gives up when fed one byte at a time, or npos.
std::size_t failing_byte(std::string_view text) {
  Utf8Validator validator;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!validator.consume(text.substr(i, 1))) return i;
  }
  return std::string_view::npos;
}

constexpr auto none = std::string_view::npos;

/// RFC 3629 §3, the plain reading of the table.
std::string encode(std::uint32_t point) {
  const auto put = [](std::uint32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
  if (point < 0x80) return {put(point)};
  if (point < 0x800) return {put(0xC0 | point >> 6), put(0x80 | (point & 0x3F))};
  if (point < 0x10000) return {put(0xE0 | point >> 12), put(0x80 | (point >> 6 & 0x3F)), put(0x80 | (point & 0x3F))};
  return {put(0xF0 | point >> 18), put(0x80 | (point >> 12 & 0x3F)), put(0x80 | (point >> 6 & 0x3F)),
          put(0x80 | (point & 0x3F))};
}

}  // namespace

TEST_CASE("exactly the code points that are not surrogates and not over U+10FFFF are UTF-8", "[wire][RFC3629-3]") {
  std::size_t wrong = 0;
  for (std::uint32_t point = 0; point <= 0x1FFFFF; ++point) {
    const bool allowed = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
    if (is_utf8(encode(point)) != allowed) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the standard's own examples are UTF-8", "[wire][RFC3629-7]") {
  CHECK(is_utf8("\x41\xE2\x89\xA2\xCE\x91\x2E"));
  CHECK(is_utf8("\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4"));
  CHECK(is_utf8("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"));
  CHECK(is_utf8("\xEF\xBB\xBF\xF0\xA3\x8E\xB4"));
  CHECK(is_utf8(""));
}

TEST_CASE("a text fails at the first byte that makes UTF-8 impossible", "[wire][RFC3629-4]") {
  CHECK(failing_byte("\x80") == 0);
  CHECK(failing_byte("\xBF") == 0);
  CHECK(failing_byte("\xC0") == 0);
  CHECK(failing_byte("\xC1\x81") == 0);
  CHECK(failing_byte("\xC2\x41") == 1);
  CHECK(failing_byte("\xC2\xC2") == 1);
  CHECK(failing_byte("\xE0\x80") == 1);
  CHECK(failing_byte("\xE0\x9F") == 1);
  CHECK(failing_byte("\xE0\xA0") == none);
  CHECK(failing_byte("\xED\xA0") == 1);
  CHECK(failing_byte("\xED\x9F") == none);
  CHECK(failing_byte("\xE2\x82\x20") == 2);
  CHECK(failing_byte("\xF0\x8F") == 1);
  CHECK(failing_byte("\xF0\x90") == none);
  CHECK(failing_byte("\xF4\x90") == 1);
  CHECK(failing_byte("\xF4\x8F") == none);
  CHECK(failing_byte("\xF0\x9F\x98\xC0") == 3);
  CHECK(failing_byte("\xF5") == 0);
  CHECK(failing_byte("\xFE") == 0);
  CHECK(failing_byte("\xFF") == 0);
  CHECK(failing_byte("abcdefghij\xFFklm") == 10);
  // After a special second byte the third may again be any continuation.
  CHECK(failing_byte("\xE0\xA0\x80") == none);
  CHECK(failing_byte("\xED\x9F\xBF") == none);
  CHECK(failing_byte("\xF4\x8F\xBF\xBF") == none);
}

TEST_CASE("a text cut within a character can go on but is not complete", "[wire][RFC3629-4]") {
  Utf8Validator validator;
  CHECK(validator.complete());
  CHECK(validator.consume("a\xF0\x9F"));
  CHECK_FALSE(validator.complete());
  CHECK(validator.consume(""));
  CHECK_FALSE(validator.complete());
  CHECK(validator.consume("\x98\x80"));
  CHECK(validator.complete());
  CHECK_FALSE(is_utf8("\xE2\x82"));
}

TEST_CASE("what has failed stays failed until it is reset", "[wire][RFC3629-4]") {
  Utf8Validator validator;
  CHECK_FALSE(validator.consume("\xED\xA0"));
  CHECK_FALSE(validator.consume("plain"));
  CHECK_FALSE(validator.consume("\x01"));
  CHECK_FALSE(validator.consume(""));
  CHECK_FALSE(validator.complete());
  validator.reset();
  CHECK(validator.complete());
  CHECK(validator.consume("plain"));
}

TEST_CASE("a bad byte is found at every place of a text and at every alignment", "[wire][RFC3629-4]") {
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t bad = 0; bad < size; ++bad) {
      std::string text(size, 'x');
      REQUIRE(is_utf8(text));
      text[bad] = '\xFF';
      REQUIRE_FALSE(is_utf8(text));
    }
  }
}

TEST_CASE("the pieces a text comes in make no difference", "[wire][RFC3629-4]") {
  const std::string texts[] = {
      "h\xC3\xA9llo w\xC3\xB6rld, \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80 and more plain text",
      "0123456789 \xE2\x82 0123456789", "0123456789012345\xF4\x90\x80\x80"};
  for (const auto& text : texts) {
    for (std::size_t first = 0; first <= text.size(); ++first) {
      for (std::size_t second = first; second <= text.size(); ++second) {
        Utf8Validator validator;
        const std::string_view all{text};
        bool valid = validator.consume(all.substr(0, first));
        valid = validator.consume(all.substr(first, second - first)) && valid;
        valid = validator.consume(all.substr(second)) && valid;
        REQUIRE((valid && validator.complete()) == is_utf8(text));
      }
    }
  }
  CHECK(is_utf8(texts[0]));
  CHECK_FALSE(is_utf8(texts[1]));
  CHECK_FALSE(is_utf8(texts[2]));
}
