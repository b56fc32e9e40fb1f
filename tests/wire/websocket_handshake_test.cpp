#include "downlink/wire/websocket_handshake.hpp"

#include <string>

#include "support/catch.hpp"

using namespace downlink::wire;

TEST_CASE("the standard's key gives the standard's answer", "[wire][RFC6455-1.3]") {
  CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("a key is the base64 form of 16 bytes", "[wire][RFC6455-4.1]") {
  CHECK(valid_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
  CHECK(valid_websocket_key("AQIDBAUGBwgJCgsMDQ4PEA=="));
  CHECK(valid_websocket_key("++++////++++////++++/w=="));
  CHECK_FALSE(valid_websocket_key(""));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25j"));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZSE="));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZSEh"));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZQ="));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZXh4eA=="));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZQ"));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBs=SBub25jZQ=="));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBs-SBub25jZQ=="));
  CHECK_FALSE(valid_websocket_key("dGhlIHNhbXBsZSBub25jZQ== "));
  CHECK_FALSE(valid_websocket_key(" dGhlIHNhbXBsZSBub25jZQ=="));
}
