#include "downlink/route/pattern.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace downlink;
using namespace std::string_literals;

namespace {

PatternMatch match(std::string_view pattern, std::string_view path) {
  RouteParameters parameters;
  return Pattern{pattern}.match(path, parameters);
}

}  // namespace

TEST_CASE("a pattern without parameters matches its own path alone", "[route]") {
  CHECK(match("/", "/") == PatternMatch::yes);
  CHECK(match("/a/b", "/a/b") == PatternMatch::yes);
  CHECK(match("/a/b", "/a/B") == PatternMatch::no);
  CHECK(match("/a/b", "/a") == PatternMatch::no);
  CHECK(match("/a/b", "/a/b/") == PatternMatch::no);
  CHECK(match("/a/b", "/a/b/c") == PatternMatch::no);
  CHECK(match("/a/", "/a/") == PatternMatch::yes);
  CHECK(match("/a/", "/a") == PatternMatch::no);
  CHECK(match("/", "") == PatternMatch::no);
  CHECK(match("/", "*") == PatternMatch::no);
  CHECK(match("/a", "a") == PatternMatch::no);
}

TEST_CASE("a parameter stands for one segment, decoded", "[route][RFC3986-2.1]") {
  const Pattern pattern{"/channels/{name}/x/{id_2}"};
  RouteParameters parameters;
  CHECK(pattern.match("/channels/a%2Fb+c/x/%C3%A9", parameters) == PatternMatch::yes);
  CHECK(parameters.get("name") == "a/b+c");
  CHECK(parameters.get("id_2") == "\xC3\xA9");
  CHECK_FALSE(parameters.get("other"));
  REQUIRE(parameters.size() == 2);
  CHECK(parameters.begin()->first == "name");
  CHECK(pattern.match("/channels/a/y/b", parameters) == PatternMatch::no);
  CHECK(parameters.empty());
  CHECK(pattern.match("/channels/a/b/x/c", parameters) == PatternMatch::no);
}

TEST_CASE("a parameter may stand for an empty segment and for any byte", "[route]") {
  const Pattern pattern{"/c/{name}"};
  RouteParameters parameters;
  CHECK(pattern.match("/c/", parameters) == PatternMatch::yes);
  CHECK(parameters.get("name") == "");
  CHECK(pattern.match("/c/%00", parameters) == PatternMatch::yes);
  CHECK(parameters.get("name") == "\0"s);
  CHECK(pattern.match("/c", parameters) == PatternMatch::no);
}

TEST_CASE("literal segments are compared decoded", "[route][RFC3986-6.2.2.2]") {
  CHECK(match("/a b", "/a%20b") == PatternMatch::yes);
  CHECK(match("/a%20b", "/a%20b") == PatternMatch::yes);
  CHECK(match("/channels", "/%63hannels") == PatternMatch::yes);
  CHECK(match("/a/b", "/a%2Fb") == PatternMatch::no);
  CHECK(match("/%2541", "/%2541") == PatternMatch::yes);
  CHECK(match("/%2541", "/%41") == PatternMatch::no);
  CHECK(match("/%25", "/%25") == PatternMatch::yes);
  CHECK(match("/%25", "/%") == PatternMatch::no);
}

TEST_CASE("malformed percent-encoding in a parameter is reported where the path is the pattern's otherwise",
          "[route][WIRE-8]") {
  CHECK(match("/c/{name}", "/c/%zz") == PatternMatch::malformed);
  CHECK(match("/c/{name}", "/c/%4") == PatternMatch::malformed);
  CHECK(match("/c/{name}", "/d/%zz") == PatternMatch::no);
  CHECK(match("/c/{name}/e", "/c/%zz/f") == PatternMatch::no);
  CHECK(match("/c/{name}", "/c/%zz/e") == PatternMatch::no);
  CHECK(match("/c", "/%zz") == PatternMatch::no);
}

TEST_CASE("a text that is no pattern throws a sentence that has it", "[route]") {
  const auto* text = GENERATE("", "a", "/a?b", "/a#b", "/{}", "/{", "/}", "/{a", "/a}", "/x{a}", "/{a}x", "/{a}{b}",
                              "/{{a}}", "/{1a}", "/{a-b}", "/{a b}", "/{a}/{a}", "/%zz", "/}a{");
  CAPTURE(text);
  try {
    Pattern{text};
    FAIL("no exception");
  } catch (const std::invalid_argument& error) {
    CHECK(std::string_view{error.what()}.find("'" + std::string{text} + "'") != std::string_view::npos);
  }
  CHECK_NOTHROW(Pattern{"/{_a1}/{B}"});
}
