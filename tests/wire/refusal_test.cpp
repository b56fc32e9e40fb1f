#include "downlink/wire/refusal.hpp"

#include "support/catch.hpp"

using namespace downlink::wire;

TEST_CASE("every status of the wire contract has its reason phrase", "[wire][WIRE-8][RFC9110-15]") {
  CHECK(status_text(101) == "Switching Protocols");
  CHECK(status_text(200) == "OK");
  CHECK(status_text(413) == "Content Too Large");
  CHECK(status_text(431) == "Request Header Fields Too Large");
  for (const int status :
       {100, 101, 200, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 413, 414, 426, 431, 500, 501, 503, 505}) {
    CAPTURE(status);
    CHECK_FALSE(status_text(status).empty());
  }
  CHECK(status_text(799).empty());
}

TEST_CASE("a refusal's title is its status's", "[wire][RFC9457-3.1]") {
  CHECK(Refusal{.status = 414}.title() == "URI Too Long");
  CHECK(Refusal{}.title() == "Bad Request");
  CHECK(Refusal{.status = 451}.title() == "Unavailable For Legal Reasons");
  CHECK(Refusal{.status = 418}.title() == "Client Error");  // there has to be one (WIRE §8)
  CHECK(Refusal{.status = 599}.title() == "Server Error");
}
