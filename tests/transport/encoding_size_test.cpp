#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <downlink/channel/channel.hpp>
#include <downlink/transport/polling.hpp>
#include <downlink/transport/sse.hpp>
#include <downlink/transport/websocket.hpp>

#include "support/catch.hpp"

using namespace downlink;

namespace {

template <WireForm F>
std::size_t size_of(const MessageView& message) {
  std::string out;
  F::encode(out, message);
  return out.size();
}

}  // namespace

TEST_CASE("the largest payload that may be published fits encoded into what a segment can index",
          "[transport][DESIGN-3.5]") {
  constexpr std::size_t count = 10'000;
  constexpr std::size_t times = detail::largest_payload / count + 1;
  for (const char c : {'\n', '\r', '\x01', '"', '\\', '/', 'a', '\xff'}) {
    const std::string data(count, c);
    const MessageView message{.id = "1-1", .data = data, .binary = c == '\xff'};
    CAPTURE(static_cast<int>(c));
    for (const std::size_t size :
         {size_of<Sse>(message), size_of<detail::Chunked<Sse>>(message), size_of<detail::PollElement>(message),
          size_of<detail::WebSocketRaw>(message), size_of<detail::WebSocketV1>(message)}) {
      CHECK(std::uint64_t{size} * times < std::numeric_limits<std::uint32_t>::max());
    }
  }
}
