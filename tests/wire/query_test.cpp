#include "downlink/wire/query.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace downlink::wire;
using namespace std::string_literals;

TEST_CASE("a query's plus is a space, and percent encoding gives any byte", "[wire][URL-5.1]") {
  CHECK(form_decode("a+b") == "a b");
  CHECK(form_decode("a%2Bb") == "a+b");
  CHECK(form_decode("%C3%A9%c3%a9") == "\xC3\xA9\xC3\xA9");
  CHECK(form_decode("%00") == "\0"s);
  CHECK(form_decode("%252B") == "%2B");
  CHECK(form_decode("").empty());
}

TEST_CASE("a percent sign without two hexadecimal digits stands for itself", "[wire][URL-1.3]") {
  CHECK(form_decode("%") == "%");
  CHECK(form_decode("%4") == "%4");
  CHECK(form_decode("%4g") == "%4g");
  CHECK(form_decode(std::string_view{"%41"}.substr(0, 2)) == "%4");
  CHECK(form_decode("%g4") == "%g4");
  CHECK(form_decode("%%41") == "%A");
  CHECK(form_decode("100%+sure") == "100% sure");
  // The example of the URL standard's percent-decoding.
  CHECK(form_decode("%25%s%1G") == "%%s%1G");
}

TEST_CASE("a path's plus stays and a malformed percent encoding is refused", "[wire][RFC3986-2.1]") {
  CHECK(percent_decode_path("/a+b%20c") == "/a+b c");
  CHECK(percent_decode_path("/%E2%82%ac") == "/\xE2\x82\xAC");
  CHECK(percent_decode_path("/a%2Fb") == "/a/b");
  CHECK(percent_decode_path("") == "");
  CHECK_FALSE(percent_decode_path("/%"));
  CHECK_FALSE(percent_decode_path("/%4"));
  CHECK_FALSE(percent_decode_path("/%4g"));
  CHECK_FALSE(percent_decode_path("/%g4"));
}

TEST_CASE("the first parameter of a name gives its value", "[wire][URL-5.1]") {
  CHECK(query_value("cursor=a&cursor=b", "cursor") == "a");
  CHECK(query_value("cursor&cursor=&cursor=b", "cursor") == "");
  CHECK(query_value("cursor&cursor=&cursor=b", "cursor", 1) == "b");
  CHECK_FALSE(query_value("cursor&cursor=", "cursor", 1));
  CHECK(query_value("x=1&cursor=a.b-c_1&y=2", "cursor") == "a.b-c_1");
  CHECK(query_value("a=b=c", "a") == "b=c");
  CHECK(query_value("a=1+2%263", "a") == "1 2&3");
  CHECK_FALSE(query_value("cursors=a&xcursor=b", "cursor"));
  CHECK_FALSE(query_value("x=cursor", "cursor"));
  CHECK_FALSE(query_value("Cursor=a", "cursor"));
  CHECK_FALSE(query_value("", "cursor"));
}

TEST_CASE("a parameter's name is compared decoded", "[wire][URL-5.1]") {
  CHECK(query_value("last%5Fevent_id=7", "last_event_id") == "7");
  CHECK(query_value("a+b=7", "a b") == "7");
  CHECK_FALSE(query_value("a+b=7", "a+b"));
  CHECK(query_value("a%3Db=7", "a=b") == "7");
}

TEST_CASE("a parameter without an equals sign, or with nothing after it, has an empty value", "[wire][URL-5.1]") {
  CHECK(query_value("wait", "wait") == "");
  CHECK(query_value("wait&x=1", "wait") == "");
  CHECK(query_value("x=1&wait=", "wait") == "");
  CHECK(query_value("=1", "") == "1");
}

TEST_CASE("empty parameters are passed over", "[wire][URL-5.1]") {
  CHECK(query_value("&&a=1&", "a") == "1");
  CHECK_FALSE(query_value("&&", ""));
}
