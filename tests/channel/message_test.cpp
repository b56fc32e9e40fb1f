#include <downlink/channel/message.hpp>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include <downlink/wire/cursor.hpp>

#include "support/catch.hpp"

using namespace downlink;

namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("an id's text is its epoch in base 36, a dash and its offset", "[channel][WIRE-1]") {
  CHECK(MessageId{0, 0}.to_string() == "0-0");
  CHECK(MessageId{35, 1}.to_string() == "z-1");
  CHECK(MessageId{36, 12345}.to_string() == "10-12345");
  CHECK(MessageId{largest, largest}.to_string() == "3w5e11264sgsf-18446744073709551615");
}

TEST_CASE("every id comes back from its text, which is 1 to 64 characters that a cursor may have",
          "[channel][WIRE-1]") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    // Every magnitude alike, and the ends of the range.
    const MessageId id{i % 97 == 0 ? largest : random() >> (random() % 64),
                       i % 89 == 0 ? largest : random() >> (random() % 64)};
    const std::string text = id.to_string();
    if (MessageId::parse(text) != id || !wire::is_cursor_text(text) || text == "earliest" || text == "latest") {
      FAIL(text);
    }
  }
}

TEST_CASE("a text that no id has is not an id", "[channel][WIRE-1]") {
  using namespace std::string_view_literals;
  for (const auto text : {
           ""sv,
           "-"sv,
           "1"sv,
           "1-"sv,
           "-1"sv,
           "earliest"sv,
           "latest"sv,
           "1_1"sv,
           "1.1"sv,
           "01-1"sv,
           "1-01"sv,
           "00-0"sv,
           "0-00"sv,
           "1--1"sv,
           "1-2-3"sv,
           "1-1-"sv,
           "A-1"sv,
           "Z9-1"sv,
           "1-a"sv,
           "+1-1"sv,
           "1-+1"sv,
           " 1-1"sv,
           "1 -1"sv,
           "1- 1"sv,
           "1-1 "sv,
           "1-1\n"sv,
           "1-1\0"sv,
           "1\0-1"sv,
           "0x1-1"sv,
           "1-1e1"sv,
           "1-1.0"sv,
           "\xc3\xa9-1"sv,
           "3w5e11264sgsg-0"sv,
           "zzzzzzzzzzzzz-1"sv,
           "10000000000000-1"sv,
           "0-18446744073709551616"sv,
           "0-99999999999999999999"sv,
           "3w5e11264sgsf-184467440737095516150"sv,
           "1-00000000000000000000000000000000000000000001"sv,
       }) {
    CAPTURE(text);
    CHECK_FALSE(MessageId::parse(text));
  }
}

TEST_CASE("whatever text is taken for an id is the very text that the id has", "[channel][WIRE-1]") {
  std::mt19937 random(2);
  constexpr std::string_view alphabet = "0019azAZ--._ \t\n\xff";
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (auto size = random() % 6; size > 0; --size) text += alphabet[random() % alphabet.size()];
    const auto id = MessageId::parse(text);
    if (!id) continue;
    ++taken;
    if (id->to_string() != text) FAIL(text);
  }
  CHECK(taken > 100);
}

TEST_CASE("a message has a default for every member", "[channel][DESIGN-4]") {
  const Message message;
  CHECK(message.data.empty());
  CHECK(message.event.empty());
  CHECK_FALSE(message.binary);
  CHECK_FALSE(message.key);
  CHECK_FALSE(message.time_to_live);
}
