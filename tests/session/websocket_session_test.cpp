#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
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
using namespace std::chrono_literals;

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
  std::uint32_t untaken() const override { return waits ? waits() : not_known; }

  std::string written;
  int writes = 0;
  bool rests_now = false;
  int rests = 0;
  bool done = false;
  std::function<std::uint32_t()> waits;  // in the system, for the peer
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

TEST_CASE("who answers no ping stays while it takes what was sent before, and for an interval after",
          "[session][WIRE-5]") {
  using Steady = std::chrono::steady_clock;
  constexpr auto heartbeat = 200ms;
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  Channel channel;
  Talker talker(*shard);
  talker.options.heartbeat = heartbeat;
  const auto begin = Steady::now();
  const auto passed = [&] { return static_cast<std::uint32_t>((Steady::now() - begin) / 1ms); };
  std::uint32_t stays_for = 0;  // ms
  SECTION("where it takes a long message") {
    stays_for = 2000;
    talker.waits = [&] { return 2000 - std::min(2000u, passed()); };
  }
  SECTION("where others are sent meanwhile") {
    stays_for = 2000;
    talker.waits = [&] {
      const auto ahead = 2000 - std::min(2000u, passed());
      return ahead > 0 ? ahead + passed() / 190 * 190 : 0;  // as much in all, every 190 ms
    };
  }
  SECTION("not where its system has taken all before, and takes others") {
    talker.waits = [&, looks = 0]() mutable { return looks++ % 2 == 0 ? 0 : 1000; };
  }
  SECTION("not where it takes none of it") {
    talker.waits = [] { return 1000; };
  }
  SECTION("not where nobody knows") {}
  shard->post([&] { talker.start(channel); });
  for (bool some = true; some && !talker.done;) {
    io.restart();
    some = io.run_one_until(begin + 20s) > 0;
  }
  CHECK(talker.done);
  CHECK(passed() >= stays_for + 7 * heartbeat / 8 / 1ms);
  CHECK(passed() <= stays_for + 5000);  // for a machine with other things to do
  talker.session.abandon();
  shard->post([&] { shard->shut_down(); });
  io.restart();
  io.poll();
}
