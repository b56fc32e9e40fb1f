#include "downlink/route/cors.hpp"

#include <chrono>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"

using namespace downlink;

namespace {

using Headers = std::initializer_list<std::pair<std::string_view, std::string_view>>;

RequestHead request(Headers headers, std::string_view method = "GET") {
  RequestHead head{method, "/"};
  for (const auto& [name, value] : headers) head.add_header(name, value);
  return head;
}

OriginVerdict judge(std::string_view origin, std::string_view host, const CorsOptions& options = {}) {
  return judge_origin(request({{"Host", host}, {"Origin", origin}}), options, false);
}

std::string headers(const RequestHead& head, const CorsOptions& options) {
  std::string out;
  append_cors_headers(out, head, options, judge_origin(head, options, false));
  return out;
}

}  // namespace

TEST_CASE("a request without Origin has no verdict", "[route][WIRE-8]") {
  CHECK(judge_origin(request({{"Host", "h"}}), {}, false) == OriginVerdict::none);
}

TEST_CASE("an origin with the host and port of Host is the endpoint's own", "[route][WIRE-8]") {
  CHECK(judge("http://h:8080", "h:8080") == OriginVerdict::same_origin);
  CHECK(judge("http://H", "h") == OriginVerdict::same_origin);
  CHECK(judge("http://h", "h:80") == OriginVerdict::same_origin);
  CHECK(judge("https://h", "h:443") == OriginVerdict::same_origin);
  CHECK(judge("https://h:443", "h") == OriginVerdict::same_origin);
  CHECK(judge("http://[::1]:9", "[::1]:9") == OriginVerdict::same_origin);
  CHECK(judge("https://h", "h:80") == OriginVerdict::refused);
  CHECK(judge("http://h:8081", "h:8080") == OriginVerdict::refused);
  CHECK(judge("http://h", "h:8080") == OriginVerdict::refused);
  CHECK(judge("http://h.evil", "h") == OriginVerdict::refused);
  CHECK(judge("http://evil", "h") == OriginVerdict::refused);
  CHECK(judge("null", "h") == OriginVerdict::refused);
  CHECK(judge("h", "h") == OriginVerdict::refused);
  CHECK(judge("app://h", "h") == OriginVerdict::refused);
  CHECK(judge("", "") == OriginVerdict::refused);
}

TEST_CASE("the host of a target in absolute form is compared in place of Host", "[route][RFC9112-3.2.2]") {
  RequestHead head{"GET", "http://a/"};
  head.add_header("Host", "b");
  head.add_header("Origin", "http://b");
  CHECK(judge_origin(head, {}, false) == OriginVerdict::refused);
}

TEST_CASE("the forwarded host counts from a trusted proxy alone", "[route][WIRE-8][RFC7239-5.3]") {
  for (const auto& forwarded : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"Forwarded", "for=1.2.3.4;host=pub.example;proto=https"},
           {"Forwarded", "for=\"[::1]\"; Host=\"pub.example:443\", for=9.9.9.9;host=inner"},
           {"X-Forwarded-Host", "pub.example, inner"}}) {
    const auto head = request({{"Host", "inner:8080"}, {"Origin", "https://pub.example"}, forwarded});
    CAPTURE(forwarded.second);
    CHECK(judge_origin(head, {}, true) == OriginVerdict::same_origin);
    CHECK(judge_origin(head, {}, false) == OriginVerdict::refused);
  }
  // A quote that a client leaves open in a line of its own hides nothing in the next.
  CHECK(judge_origin(request({{"Host", "inner"},
                              {"Origin", "https://pub.example"},
                              {"Forwarded", "for=x;y=\""},
                              {"Forwarded", "host=pub.example"}}),
                     {}, true) == OriginVerdict::same_origin);
  CHECK(judge_origin(request({{"Host", "h"}, {"Origin", "https://evil"}, {"X-Forwarded-Host", "pub.example"}}), {},
                     true) == OriginVerdict::refused);
  CHECK(judge_origin(request({{"Host", "h"}, {"Origin", "https://h"}}), {}, true) == OriginVerdict::same_origin);
}

TEST_CASE("the browser's word for the same origin counts", "[route][WIRE-8]") {
  const auto with = [](std::string_view site) {
    return judge_origin(request({{"Host", "h"}, {"Origin", "https://pub"}, {"Sec-Fetch-Site", site}}), {}, false);
  };
  CHECK(with("same-origin") == OriginVerdict::same_origin);
  CHECK(with("same-site") == OriginVerdict::refused);
  CHECK(with("cross-site") == OriginVerdict::refused);
  CHECK(with("none") == OriginVerdict::refused);
}

TEST_CASE("a configured origin is allowed and no other", "[route][WIRE-8]") {
  const CorsOptions options{.allowed_origins = {"https://App.example", "http://localhost:3000"}};
  CHECK(judge("https://app.example", "h", options) == OriginVerdict::allowed);
  CHECK(judge("https://app.example:443", "h", options) == OriginVerdict::allowed);
  CHECK(judge("http://localhost:3000", "h", options) == OriginVerdict::allowed);
  CHECK(judge("http://app.example", "h", options) == OriginVerdict::refused);
  CHECK(judge("http://localhost", "h", options) == OriginVerdict::refused);
  CHECK(judge("https://app.example.evil", "h", options) == OriginVerdict::refused);
  CHECK(judge("null", "h", options) == OriginVerdict::refused);
  CHECK(judge("null", "h", {.allowed_origins = {"null"}}) == OriginVerdict::allowed);
  CHECK(judge("https://any", "h", {.allowed_origins = {"*"}}) == OriginVerdict::allowed);
  CHECK(judge("null", "h", {.allowed_origins = {"*"}}) == OriginVerdict::allowed);
  const auto twice = request({{"Host", "h"}, {"Origin", "https://app.example"}, {"Origin", "https://evil"}});
  CHECK(judge_origin(twice, options, false) == OriginVerdict::refused);
}

TEST_CASE("options that contradict each other or name no origin throw", "[route][WIRE-8]") {
  CHECK_NOTHROW(validate({}));
  CHECK_NOTHROW(validate({.allowed_origins = {"*"}}));
  CHECK_NOTHROW(validate({.allowed_origins = {"https://a", "null", "http://[::1]:8080"}, .allow_credentials = true}));
  CHECK_THROWS_AS(validate({.allowed_origins = {"https://a", "*"}, .allow_credentials = true}), std::invalid_argument);
  CHECK_THROWS_AS(validate({.max_age = std::chrono::seconds{-1}}), std::invalid_argument);
  for (const auto* origin :
       {"", "a.example", "https://a/", "https://a/b", "https://", "://a", "https://*.a", "https://u@a"}) {
    CAPTURE(origin);
    CHECK_THROWS_AS(validate({.allowed_origins = {origin}}), std::invalid_argument);
  }
}

TEST_CASE("an allowed origin gets the CORS headers", "[route][WIRE-8][Fetch-3.2.3]") {
  const auto head = request({{"Host", "h"}, {"Origin", "https://a"}});
  CHECK(headers(head, {.allowed_origins = {"https://a"}}) ==
        "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a\r\nAccess-Control-Expose-Headers: ETag\r\n");
  CHECK(headers(head, {.allowed_origins = {"https://a"}, .allow_credentials = true}) ==
        "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a\r\nAccess-Control-Allow-Credentials: true\r\n"
        "Access-Control-Expose-Headers: ETag\r\n");
  CHECK(headers(head, {.allowed_origins = {"*"}}) ==
        "Vary: Origin\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: ETag\r\n");
  CHECK(headers(request({{"Host", "h"}, {"Origin", "http://h"}}), {}) ==
        "Vary: Origin\r\nAccess-Control-Allow-Origin: http://h\r\nAccess-Control-Expose-Headers: ETag\r\n");
}

TEST_CASE("an answer without an allowed origin still varies by it", "[route][WIRE-8]") {
  const CorsOptions options{.allowed_origins = {"https://a"}, .allow_credentials = true};
  CHECK(headers(request({{"Host", "h"}}), options) == "Vary: Origin\r\n");
  CHECK(headers(request({{"Host", "h"}, {"Origin", "https://evil"}}), options) == "Vary: Origin\r\n");
}

TEST_CASE("a preflight is an OPTIONS of a page that asks for a method", "[route][Fetch-3.2.2]") {
  CHECK(is_preflight(request({{"Origin", "http://o"}, {"Access-Control-Request-Method", "POST"}}, "OPTIONS")));
  CHECK_FALSE(is_preflight(request({{"Origin", "http://o"}, {"Access-Control-Request-Method", "POST"}})));
  CHECK_FALSE(is_preflight(request({{"Origin", "http://o"}}, "OPTIONS")));
  CHECK_FALSE(is_preflight(request({{"Access-Control-Request-Method", "POST"}}, "OPTIONS")));
}

TEST_CASE("a preflight from an allowed origin learns the methods, headers and for how long", "[route][WIRE-8]") {
  const CorsOptions options{.allowed_origins = {"https://a"}, .max_age = std::chrono::seconds{60}};
  const auto head =
      request({{"Host", "h"}, {"Origin", "https://a"}, {"Access-Control-Request-Method", "POST"}}, "OPTIONS");
  const auto lines = preflight_headers(options, judge_origin(head, options, false));
  CHECK(lines.starts_with("Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"));
  CHECK(lines.find("\r\nAccess-Control-Allow-Headers: Last-Event-ID, Content-Type, If-None-Match, Prefer, Authorization"
                   "\r\n") != std::string::npos);
  CHECK(lines.ends_with("\r\nAccess-Control-Max-Age: 60\r\n"));
  CHECK(preflight_headers({}, OriginVerdict::refused).empty());
}
