#include "downlink/wire/sha1.hpp"

#include <string>

#include "support/catch.hpp"

using namespace downlink::wire;

namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const auto byte : sha1(bytes)) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 0xF];
  }
  return text;
}

std::string repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

}  // namespace

TEST_CASE("the standard's SHA-1 vectors hold", "[wire][RFC3174-7.3]") {
  CHECK(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(hex(repeated("a", 1000000)) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  CHECK(hex(repeated("0123456701234567012345670123456701234567012345670123456701234567", 10)) ==
        "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

// The digests are those of an independent implementation (Python's hashlib).
TEST_CASE("the padding is right where it just fits a block and where it does not", "[wire][RFC3174-4]") {
  CHECK(hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(hex(repeated("a", 55)) == "c1c8bbdc22796e28c0e15163d20899b65621d65a");
  CHECK(hex(repeated("a", 56)) == "c2db330f6083854c99d4b5bfb6e8f29f201be699");
  CHECK(hex(repeated("a", 63)) == "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
  CHECK(hex(repeated("a", 64)) == "0098ba824b5c16427bd7a1122a5a442a25ec644d");
  CHECK(hex(repeated("a", 65)) == "11655326c708d70319be2610e8a57d9a5b959d3b");
  CHECK(hex(repeated("\xFF", 119)) == "97b433c99a75e69bd8170ef41aacbfb370434b0d");
  CHECK(hex(repeated("\xFF", 120)) == "b099d503d1c2bdf6defb88f6368bde6a6e71c448");
}
