#include "downlink/wire/base64.hpp"

#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace downlink::wire;

namespace {

std::string encoded(std::string_view bytes) {
  std::string out;
  append_base64(out, bytes);
  return out;
}

}  // namespace

TEST_CASE("the standard's base64 vectors hold both ways", "[wire][RFC4648-10]") {
  const std::pair<std::string, std::string> vectors[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [bytes, text] : vectors) {
    CAPTURE(bytes);
    CHECK(encoded(bytes) == text);
    CHECK(decode_base64(text) == bytes);
  }
}

TEST_CASE("base64 is appended behind what is there", "[wire][RFC4648-4]") {
  std::string out = "data: ";
  append_base64(out, "\xFB\xFF\xBF");
  CHECK(out == "data: +/+/");
}

TEST_CASE("every byte survives base64 at every position", "[wire][RFC4648-4]") {
  std::string bytes;
  for (int i = 0; i < 3 * 256; ++i) bytes.push_back(static_cast<char>(i * 7 / 3));
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const auto text = encoded(std::string_view{bytes}.substr(0, size));
    REQUIRE(text.size() == (size + 2) / 3 * 4);
    REQUIRE(decode_base64(text) == bytes.substr(0, size));
  }
}

TEST_CASE("base64 without its padding, or with too much of it, is refused", "[wire][RFC4648-3.2]") {
  CHECK_FALSE(decode_base64("Zg"));
  CHECK_FALSE(decode_base64("Zg="));
  CHECK_FALSE(decode_base64("Zm9vY==="));
  CHECK_FALSE(decode_base64("===="));
  CHECK_FALSE(decode_base64("Zg==Zg=="));
  CHECK_FALSE(decode_base64("Z=g="));
}

TEST_CASE("characters outside of base64's alphabet are refused", "[wire][RFC4648-3.3]") {
  CHECK_FALSE(decode_base64("Zm9v\r\nYg=="));
  CHECK_FALSE(decode_base64("Zm9 "));
  CHECK_FALSE(decode_base64("Zm-_"));
  CHECK_FALSE(decode_base64("Zm9\xFF"));
  CHECK_FALSE(decode_base64(std::string_view{"Zm9\0", 4}));
}

TEST_CASE("base64 with bits set that stand for nothing is refused", "[wire][RFC4648-3.5]") {
  CHECK_FALSE(decode_base64("Zh=="));
  CHECK_FALSE(decode_base64("Zm9="));
  CHECK(decode_base64("Zm8=") == "fo");
}
