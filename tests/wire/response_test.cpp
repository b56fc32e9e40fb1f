#include "downlink/wire/response.hpp"

#include <chrono>
#include <string>

#include "support/catch.hpp"

using namespace downlink::wire;
using namespace std::string_literals;
using std::chrono::system_clock;

TEST_CASE("a date is written as an IMF-fixdate", "[wire][RFC9110-5.6.7]") {
  CHECK(http_date(system_clock::from_time_t(784111777)) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(http_date(system_clock::from_time_t(0)) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(http_date(system_clock::from_time_t(951782400)) == "Tue, 29 Feb 2000 00:00:00 GMT");
  CHECK(http_date(system_clock::from_time_t(1798761599)) == "Thu, 31 Dec 2026 23:59:59 GMT");
  CHECK(http_date(system_clock::from_time_t(784111777) + std::chrono::milliseconds{999}) ==
        "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST_CASE("a status line has the version, the status and its reason", "[wire][RFC9112-4]") {
  std::string out;
  append_status_line(out, 404);
  append_status_line(out, 299);
  CHECK(out == "HTTP/1.1 404 Not Found\r\nHTTP/1.1 299 \r\n");
}

TEST_CASE("a header's value can't end its line", "[wire][RFC9110-5.5]") {
  std::string out;
  append_header(out, "A", "b\r\nC: d\0e"s);
  CHECK(out == "A: b  C: d e\r\n");
}

TEST_CASE("problem details have a title, a status and a detail", "[wire][WIRE-8][RFC9457-3]") {
  CHECK(problem_json({.status = 400, .detail = "The \"head\" is bad."}) ==
        R"({"title":"Bad Request","status":400,"detail":"The \"head\" is bad."})");
  CHECK(problem_json({.status = 404}) == R"({"title":"Not Found","status":404})");
  CHECK(problem_json({.status = 404, .detail = "\xFF"}) == R"({"title":"Not Found","status":404})");
}

TEST_CASE("a refusal is answered with a whole response", "[wire][WIRE-8]") {
  std::string out;
  append_problem(out, {.status = 405, .headers = "Allow: GET\r\n"}, "D", "Vary: Origin\r\n", false, true);
  CHECK(out ==
        "HTTP/1.1 405 Method Not Allowed\r\nDate: D\r\nContent-Type: application/problem+json\r\n"
        "Content-Length: 43\r\nAllow: GET\r\nVary: Origin\r\n\r\n"
        R"({"title":"Method Not Allowed","status":405})");
}

TEST_CASE("a refusal's answer says that it closes the connection", "[wire][WIRE-8][RFC9112-9.6]") {
  const auto closes = [](bool close, bool keep_alive) {
    std::string out;
    append_problem(out, {.status = 400, .close = close}, "D", "", false, keep_alive);
    return out.find("\r\nConnection: close\r\n") != std::string::npos;
  };
  CHECK_FALSE(closes(false, true));
  CHECK(closes(true, true));
  CHECK(closes(false, false));
}

TEST_CASE("the answer to a refused HEAD has no body but its length", "[wire][RFC9110-9.3.2]") {
  std::string out;
  append_problem(out, {.status = 404}, "D", "", true, true);
  CHECK(out.find("\r\nContent-Length: 34\r\n") != std::string::npos);
  CHECK(out.ends_with("\r\n\r\n"));
}
