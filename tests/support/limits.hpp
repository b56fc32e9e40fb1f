#pragma once

#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/http_client.hpp"

namespace downlink::testing {

/// The headers by which a request asks for a transport; for long polling `?wait=60` in the target as well.
inline constexpr std::string_view asks_for_sse = "Accept: text/event-stream\r\n";
inline constexpr std::string_view asks_for_websocket =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Checks WIRE §8's answer past a limit: 503 with `Retry-After`, or for SSE a stream of one retry.
inline void check_over_limit(const Response& answer, bool sse = false) {
  if (sse) {
    CHECK(answer.status == 200);
    CHECK(answer.header("Content-Type") == "text/event-stream");
    REQUIRE(answer.body.starts_with("retry: "));
    CHECK(answer.body == "retry: " + std::to_string(std::stoi(answer.body.substr(7))) + "\n\n");
    return;
  }
  CHECK(answer.status == 503);
  CHECK(answer.header("Content-Type") == "application/problem+json");
  REQUIRE(answer.header("Retry-After"));
  CHECK(std::stoi(*answer.header("Retry-After")) > 0);
}

}  // namespace downlink::testing
