#include <unordered_set>

#include "conformance/conversation.hpp"

using namespace downlink::testing;

namespace {

// RFC 3629 §3 taken literally, for any value and any number of bytes, also those that it forbids.
std::string encoded(std::uint32_t value, int bytes) {
  if (bytes == 1) return {static_cast<char>(value)};
  std::string out(static_cast<std::size_t>(bytes), '\0');
  for (auto at = out.size() - 1; at > 0; --at, value >>= 6) out[at] = static_cast<char>(0x80u | (value & 0x3Fu));
  out[0] = static_cast<char>((0xFF00u >> bytes & 0xFFu) | value);
  return out;
}
std::string encoded(std::uint32_t value) {
  return encoded(value, value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4);
}

// How many bytes of `text` are the beginning of some UTF-8 text. It knows nothing of how one decodes: a beginning is
// one when a character's encoding begins so.
std::size_t viable(std::string_view text) {
  static const auto beginnings = [] {
    std::unordered_set<std::string> all;
    for (std::uint32_t value = 0; value <= 0x10FFFF; ++value) {
      if (value >= 0xD800 && value <= 0xDFFF) continue;
      const auto bytes = encoded(value);
      for (std::size_t size = 1; size <= std::min<std::size_t>(bytes.size(), 3); ++size) {
        all.insert(bytes.substr(0, size));
      }
      if (value >= 0x10000) value += 63;  // of those that differ in the fourth byte alone, one
    }
    return all;
  }();
  std::string character;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    character += text[i];
    if (character.size() < 4 ? !beginnings.contains(character) : (byte & 0xC0) != 0x80) return i;
    const auto lead = static_cast<unsigned char>(character[0]);
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (character.size() == size) character.clear();
  }
  return text.size();
}

std::vector<std::string> invalid_texts() {
  std::vector<std::string> all;
  // Bytes that continue nothing, alone and many; bytes that begin nothing.
  for (int byte = 0x80; byte <= 0xFF; ++byte) {
    if (byte >= 0xC2 && byte <= 0xF4) continue;
    all.push_back({static_cast<char>(byte)});
    all.push_back("Hello" + std::string(1, static_cast<char>(byte)) + "world");
  }
  all.push_back(std::string(6, '\x80'));
  all.push_back("\xFE\xFE\xFF\xFF");
  // Characters that are begun, and then another thing comes.
  for (int byte = 0xC2; byte <= 0xF4; ++byte) all.push_back(std::string(1, static_cast<char>(byte)) + " ");
  for (const std::uint32_t value : {0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    const auto whole = encoded(value);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      all.push_back(whole.substr(0, size) + "x");
      all.push_back(whole.substr(0, size) + whole);
    }
  }
  // Longer forms than need be, of five and six bytes too.
  for (const std::uint32_t value : {0u, 0x2Fu, 0x7Fu}) {
    for (int bytes = 2; bytes <= 6; ++bytes) all.push_back(encoded(value, bytes));
  }
  for (int bytes = 3; bytes <= 6; ++bytes) all.push_back(encoded(0x7FF, bytes));
  for (int bytes = 4; bytes <= 6; ++bytes) all.push_back(encoded(0xFFFF, bytes));
  for (int bytes = 5; bytes <= 6; ++bytes) all.push_back(encoded(0x10FFFF, bytes));
  // Surrogates alone and in pairs.
  for (const std::uint32_t value : {0xD800u, 0xDB7Fu, 0xDB80u, 0xDBFFu, 0xDC00u, 0xDF80u, 0xDFFFu}) {
    all.push_back(encoded(value));
    for (const std::uint32_t low : {0xDC00u, 0xDFFFu}) all.push_back(encoded(value) + encoded(low));
  }
  // What is past the last code point, of four bytes and more.
  for (const std::uint32_t value : {0x110000u, 0x13FFFFu, 0x140000u, 0x1FFFFFu}) all.push_back(encoded(value, 4));
  for (const std::uint32_t value : {0x200000u, 0x3FFFFFFu}) all.push_back(encoded(value, 5));
  for (const std::uint32_t value : {0x4000000u, 0x7FFFFFFFu}) all.push_back(encoded(value, 6));
  all.push_back(
      "\u03ba\u1f79\u03c3\u03bc\u03b5\xED\xA0\x80"
      "edited");
  return all;
}

}  // namespace

TEST_CASE("text of every kind of character comes back", "[conformance][RFC6455-8.1][RFC3629-3]") {
  Echo echo;
  std::string all;
  for (const std::uint32_t value :
       {0x00u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFu, 0x1000u, 0xCFFFu, 0xD000u, 0xD7FFu, 0xE000u, 0xFEFFu, 0xFFFDu,
        0x10000u, 0x3FFFFu, 0x40000u, 0xFFFFFu, 0x100000u, 0x10FFFFu}) {
    CAPTURE(value);
    all += encoded(value);
    echo.answers(text_frame(encoded(value)), {{ws_text, encoded(value)}});
  }
  echo.answers(text_frame(all), {{ws_text, all}}, 1);
  echo.answers(text_frame(all + prose(70000)), {{ws_text, all + prose(70000)}}, 1021);
}

TEST_CASE("characters that are set aside for nobody's use are text too", "[conformance][RFC6455-8.1]") {
  std::string all;
  for (std::uint32_t value = 0xFDD0; value <= 0xFDEF; ++value) all += encoded(value);
  for (std::uint32_t plane = 0; plane <= 16; ++plane)
    all += encoded(plane << 16 | 0xFFFE) + encoded(plane << 16 | 0xFFFF);
  Echo echo;
  echo.answers(text_frame(all), {{ws_text, all}}, 1);
  for (std::size_t at = 0; at < 32 * 3; at += 3) {
    echo.answers(text_frame(all.substr(at, 3)), {{ws_text, all.substr(at, 3)}});
  }
}

TEST_CASE("text that is not UTF-8 fails with 1007, in one frame and in fragments", "[conformance][RFC6455-8.1]") {
  Echo echo;
  for (const auto& bad : invalid_texts()) {
    CAPTURE(bad, viable(bad));
    REQUIRE(viable(bad) < bad.size());
    echo.fails(text_frame(bad), 1007);
    echo.fails(text_frame("good") + text_frame("abc" + bad + "def"), 1007, {{ws_text, "good"}}, 1);
    std::string fragments = first_fragment({});
    for (const char c : bad) fragments += fragment({&c, 1});
    echo.fails(fragments + last_fragment({}), 1007);
    echo.answers(binary_frame(bad), {{ws_binary, bad}});
  }
}

TEST_CASE("text that ends within a character fails with 1007", "[conformance][RFC6455-8.1]") {
  Echo echo;
  for (const std::uint32_t value : {0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    const auto whole = encoded(value);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      CAPTURE(value, size);
      const auto cut = "x" + whole.substr(0, size);
      echo.fails(text_frame(cut), 1007);
      echo.fails(first_fragment(cut) + last_fragment({}), 1007);
      echo.fails(first_fragment("x") + last_fragment(whole.substr(0, size)) + last_fragment(whole.substr(size)), 1007);
      // The beginning of one message is not the end of another.
      echo.fails(text_frame(cut) + text_frame(whole.substr(size)), 1007);
    }
  }
}

TEST_CASE("the first impossible byte fails the text, though the frame goes on", "[conformance][RFC6455-8.1][WIRE-5]") {
  Echo echo;
  for (const auto& bad : invalid_texts()) {
    CAPTURE(bad, viable(bad));
    // In a frame whose end never comes.
    const auto frame = text_frame(bad + std::string(1000, 'x'));
    const std::size_t head = 8;
    echo.fails(frame.substr(0, head + viable(bad) + 1), 1007);
    echo.fails(frame.substr(0, head + viable(bad) + 1), 1007, {}, 1);
  }
}

TEST_CASE("no byte fails a text that may still become UTF-8", "[conformance][RFC6455-8.1]") {
  Echo echo;
  for (const auto& bad : invalid_texts()) {
    CAPTURE(bad, viable(bad));
    auto client = echo.connect();
    client.connection().send(first_fragment(bad.substr(0, viable(bad))) + ping_frame("alive"));
    Echo::expect(client, {{ws_pong, "alive"}});
    client.connection().send(fragment(bad.substr(viable(bad), 1)));
    Echo::expect_end(client, 1007);
  }
}
