#include <chrono>
#include <cstddef>
#include <span>
#include <string>

#include <downlink/channel/channel.hpp>
#include <downlink/session/websocket_session.hpp>
#include <downlink/transport/websocket.hpp>

#include "support/catch.hpp"
#include "support/quiet_carrier.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace downlink::testing;

namespace {

/// A peer that takes all that it is sent.
struct Talker final : QuietCarrier {
  explicit Talker(Shard& shard) : QuietCarrier(shard), session(*this, WebSocket::stream(RequestHead{})) {}
  ~Talker() { session.abandon(); }

  void start(const Channel& channel) {
    auto& feed = shard().feed(ChannelAccess::state(channel));
    session.open("head", *session.join(feed, {}, DefaultStart::latest), {});
  }
  void hear(std::string bytes) {
    session.receive(bytes);
    for (; rests_now; ++rests) {
      rests_now = false;
      shard().update_now();
      session.unpause();
    }
  }

  IoResult try_write(std::span<const net::const_buffer> buffers) override {
    ++writes;
    for (const auto& buffer : buffers) written.append(static_cast<const char*>(buffer.data()), buffer.size());
    return {IoResult::State::moved, net::buffer_size(buffers)};
  }
  void session_done(EndReason) override { done = true; }
  void session_broken(EndReason) override { done = true; }
  void message_came(std::string data, bool) override { session.reply({{}, {}, data, false}); }
  void rest_input() override {
    rests_now = true;
    session.pause();
  }
  std::size_t max_message() const override { return 1000; }

  std::string written;
  int writes = 0;
  bool rests_now = false;
  int rests = 0;
  bool done = false;
  WebSocketSession session;
};

}  // namespace

TEST_CASE("pongs to pings that come together are sent together, and between messages", "[session][WIRE-5]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  Talker talker(*shard);
  talker.start(channel);
  talker.written.clear();
  talker.writes = 0;
  std::string pings;
  for (int i = 0; i < 5000; ++i) pings += client_frame(ws_ping, std::to_string(i));
  SECTION("pings alone") {
    talker.hear(pings);
    CHECK(talker.writes <= 5 + talker.rests);
  }
  SECTION("with a reply among them") {
    talker.hear(pings.substr(0, 10 * 7) + client_frame(ws_text, "hello") + pings.substr(10 * 7));
    CHECK(talker.writes <= 6 + talker.rests);
  }
  SECTION("in more room than may wait") {
    talker.options.max_peer_queue = 100;
    talker.hear(pings);
  }
  WebSocketParser parser;
  parser.feed(talker.written);
  int pongs = 0;
  for (auto frame = parser.next(); frame; frame = parser.next()) {
    if (frame->opcode == ws_text) {
      CHECK(frame->payload == "hello");
      CHECK(pongs == 10);
      continue;
    }
    REQUIRE(frame->opcode == ws_pong);
    REQUIRE(frame->payload == std::to_string(pongs++));
  }
  CHECK(pongs == 5000);
  CHECK_FALSE(talker.done);
  talker.session.abandon();
  shard->post([&] { shard->shut_down(); });
  io.poll();
}
