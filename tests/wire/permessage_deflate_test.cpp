#include "downlink/wire/permessage_deflate.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using namespace downlink;

namespace {

/// What answers a request with these header fields; "none" where no offer is taken.
std::string answer(const std::vector<std::string>& fields) {
  RequestHead head("GET", "/");
  head.add_header("Sec-WebSocket-Key", "permessage-deflate");
  for (const auto& field : fields) head.add_header("Sec-Websocket-EXTENSIONS", field);
  const auto agreed = wire::accept_deflate_offer(head);
  return agreed ? wire::deflate_answer(*agreed) : "none";
}

/// The size of window that an offer leads to; 0 where it is not taken.
unsigned window(std::string_view offer) {
  const auto agreed = wire::accept_deflate_offer(offer);
  return agreed ? agreed->server_window_bits : 0;
}

const std::string plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
std::string with_window(int bits) { return plain + "; server_max_window_bits=" + std::to_string(bits); }

}  // namespace

TEST_CASE("an answer always says that no context is taken over", "[wire][RFC7692-7.1.1][wire-5]") {
  for (const std::string offer :
       {"permessage-deflate", "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "  permessage-deflate\t;\tserver_no_context_takeover ;client_no_context_takeover  "}) {
    INFO(offer);
    CHECK(answer({offer}) == plain);
  }
}

TEST_CASE("no other extension and no offer at all is answered by nothing", "[wire][RFC6455-9.1][RFC7692-5]") {
  CHECK(answer({}) == "none");
  for (const std::string offer : {"", ",", ", ,", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate2",
                                  "xpermessage-deflate", "foo; permessage-deflate", "foo=permessage-deflate",
                                  "foo; bar=\"a, permessage-deflate\"", "\"permessage-deflate\""}) {
    INFO(offer);
    CHECK(answer({offer}) == "none");
  }
}

TEST_CASE("server_max_window_bits is honoured and named in the answer", "[wire][RFC7692-7.1.2.1][wire-5]") {
  for (int bits = 8; bits <= 15; ++bits) {
    CHECK(answer({"permessage-deflate; server_max_window_bits=" + std::to_string(bits)}) == with_window(bits));
    CHECK(window("permessage-deflate;server_max_window_bits = \"" + std::to_string(bits) + "\"") ==
          static_cast<unsigned>(bits));
  }
  CHECK(window("permessage-deflate; server_max_window_bits=\"1\\2\"") == 12);
  CHECK(window("permessage-deflate") == 15);
}

TEST_CASE("client_max_window_bits is taken with or without a value, and not answered", "[wire][RFC7692-7.1.2.2]") {
  CHECK(answer({"permessage-deflate; client_max_window_bits"}) == plain);
  for (int bits = 8; bits <= 15; ++bits) {
    CHECK(answer({"permessage-deflate; client_max_window_bits=" + std::to_string(bits)}) == plain);
  }
  CHECK(answer({"permessage-deflate; client_max_window_bits; server_max_window_bits=10"}) == with_window(10));
}

TEST_CASE("an offer with a bad parameter is passed over", "[wire][RFC7692-7.1]") {
  for (const std::string parameters : {"unknown",
                                       "unknown=1",
                                       "Server_No_Context_Takeover",
                                       "server_no_context_takeover=1",
                                       "server_no_context_takeover=\"\"",
                                       "server_no_context_takeover=",
                                       "client_no_context_takeover=15",
                                       "server_no_context_takeover; server_no_context_takeover",
                                       "client_max_window_bits; client_max_window_bits=9",
                                       "server_max_window_bits=9; server_max_window_bits=9",
                                       "server_max_window_bits",
                                       "server_max_window_bits=",
                                       "server_max_window_bits=7",
                                       "server_max_window_bits=16",
                                       "server_max_window_bits=08",
                                       "server_max_window_bits=010",
                                       "server_max_window_bits=+9",
                                       "server_max_window_bits=-9",
                                       "server_max_window_bits=9.0",
                                       "server_max_window_bits=0xA",
                                       "server_max_window_bits=1",
                                       "server_max_window_bits=100",
                                       "server_max_window_bits=4294967305",
                                       "server_max_window_bits=\" 9\"",
                                       "server_max_window_bits=\"9",
                                       "server_max_window_bits=\"9\\",
                                       "server_max_window_bits=\"9\"9",
                                       "server_max_window_bits=9 9",
                                       "server_max_window_bits=9=9",
                                       "client_max_window_bits=",
                                       "client_max_window_bits=7",
                                       "client_max_window_bits=16",
                                       "client_max_window_bits=08",
                                       "client_max_window_bits=x",
                                       "client_max_window_bits=\"\"",
                                       "",
                                       ";",
                                       "=9",
                                       "server_no_context_takeover client_no_context_takeover",
                                       "(comment)",
                                       "\"server_no_context_takeover\""}) {
    const std::string offer = "permessage-deflate; " + parameters;
    INFO(offer);
    CHECK(answer({offer}) == "none");
    CHECK(answer({offer, "permessage-deflate; server_max_window_bits=11"}) == with_window(11));
  }
}

TEST_CASE("the first acceptable offer is taken, over all header fields", "[wire][RFC7692-5.2][RFC6455-9.1]") {
  CHECK(answer({"permessage-deflate; server_max_window_bits=10, permessage-deflate"}) == with_window(10));
  CHECK(answer({"permessage-deflate, permessage-deflate; server_max_window_bits=10"}) == plain);
  CHECK(answer({"foo", "bar; x=\"permessage-deflate,\"", "permessage-deflate; server_max_window_bits=9",
                "permessage-deflate"}) == with_window(9));
  CHECK(answer({"permessage-deflate; server_max_window_bits=20", "permessage-deflate; use_y, permessage-deflate"}) ==
        plain);
  CHECK(answer({"foo; open=\"quote", "permessage-deflate"}) == plain);
}

TEST_CASE("the offers that RFC 7692 shows are taken", "[wire][RFC7692-7.1.3][RFC7692-5.2]") {
  CHECK(answer({"permessage-deflate"}) == plain);
  CHECK(answer({"permessage-deflate; client_max_window_bits; server_max_window_bits=10"}) == with_window(10));
  CHECK(answer({"permessage-deflate; client_max_window_bits; server_max_window_bits=10, "
                "permessage-deflate; client_max_window_bits"}) == with_window(10));
  // §5.2: "permessage-foo" stands for what this server does not know.
  CHECK(answer({"permessage-foo; use_y, permessage-foo"}) == "none");
  CHECK(answer({"permessage-foo; use_y; x=\"Hello World\", permessage-bar, permessage-deflate"}) == plain);
}
