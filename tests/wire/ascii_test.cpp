#include "downlink/wire/ascii.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace downlink::wire;

namespace {

std::vector<std::string> items(std::string_view list) {
  std::vector<std::string> found;
  for_each_list_item(list, [&](std::string_view item) { found.emplace_back(item); });
  return found;
}

using Items = std::vector<std::string>;

}  // namespace

TEST_CASE("names are compared without regard to the case of ASCII letters alone", "[wire][RFC9110-5.1]") {
  CHECK(iequals("Last-Event-ID", "last-event-id"));
  CHECK(iequals("", ""));
  CHECK_FALSE(iequals("last-event-id", "last-event-i"));
  CHECK_FALSE(iequals("a", "b"));
  // Neighbours of the letters that differ by the same bit.
  CHECK_FALSE(iequals("@", "`"));
  CHECK_FALSE(iequals("[", "{"));
  CHECK_FALSE(iequals("\xC3\x84", "\xC3\xA4"));
}

TEST_CASE("trimming takes spaces and tabs from both ends and nothing else", "[wire][RFC9110-5.6.3]") {
  CHECK(trim(" \t a b\t ") == "a b");
  CHECK(trim("a") == "a");
  CHECK(trim(" \t ").empty());
  CHECK(trim("").empty());
  CHECK(trim("\na\r") == "\na\r");
}

TEST_CASE("a list is split at commas, trimmed, and empty elements are passed over", "[wire][RFC9110-5.6.1]") {
  CHECK(items("foo,bar") == Items{"foo", "bar"});
  CHECK(items("foo ,bar,") == Items{"foo", "bar"});
  CHECK(items("foo , ,bar,charlie") == Items{"foo", "bar", "charlie"});
  CHECK(items("").empty());
  CHECK(items(",").empty());
  CHECK(items(",   ,").empty());
}

TEST_CASE("a comma within a quoted-string does not separate", "[wire][RFC9110-5.6.4]") {
  CHECK(items(R"(a;x="1,2", b)") == Items{R"(a;x="1,2")", "b"});
  CHECK(items(R"(a;x="\",", b)") == Items{R"(a;x="\",")", "b"});
  CHECK(items(R"(a;x="\\", b)") == Items{R"(a;x="\\")", "b"});
  CHECK(items(R"(a\,b)") == Items{R"(a\)", "b"});
  CHECK(items(R"(a\"b,c")") == Items{R"(a\"b,c")"});
}

TEST_CASE("a quoted-string left open reaches to the list's end", "[wire][RFC9110-5.6.4]") {
  CHECK(items(R"(a, "b, c)") == Items{"a", R"("b, c)"});
  CHECK(items(R"(a, "b, c\)") == Items{"a", R"("b, c\)"});
}

TEST_CASE("a token is found in a list whatever its case, but only whole", "[wire][RFC9110-7.6.1]") {
  CHECK(list_has_token("keep-alive, Upgrade", "upgrade"));
  CHECK(list_has_token("UPGRADE,close", "upgrade"));
  CHECK_FALSE(list_has_token("upgrades, x-upgrade", "upgrade"));
  CHECK_FALSE(list_has_token(R"("a, upgrade")", "upgrade"));
  CHECK_FALSE(list_has_token("", "upgrade"));
}

TEST_CASE("a decimal number is 1 to 19 digits and nothing else", "[wire][RFC9110-8.6]") {
  CHECK(parse_decimal("0") == 0u);
  CHECK(parse_decimal("0042") == 42u);
  CHECK(parse_decimal("9999999999999999999") == 9999999999999999999u);
  CHECK_FALSE(parse_decimal("10000000000000000000"));
  CHECK_FALSE(parse_decimal(""));
  CHECK_FALSE(parse_decimal("+1"));
  CHECK_FALSE(parse_decimal("-1"));
  CHECK_FALSE(parse_decimal(" 1"));
  CHECK_FALSE(parse_decimal("1.5"));
  CHECK_FALSE(parse_decimal("1:"));
  CHECK_FALSE(parse_decimal("1/"));
}
