#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <downlink/channel/publisher.hpp>
#include <downlink/session/stream_session.hpp>

#include "allocation/failing.hpp"
#include "support/catch.hpp"
#include "support/quiet_carrier.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace downlink::testing;

namespace {

struct Bracketed {
  static void encode(std::string& out, const MessageView& message) { out.append("<").append(message.data).append(">"); }
};

constexpr StreamOps bracketed_ops{&form_ops<Bracketed>,
                                  {},
                                  true,
                                  false,
                                  false,
                                  [](std::string&, const Opening&) {},
                                  [](std::string&, const GapNotice&) {},
                                  [](std::string&) {},
                                  [](std::string&, const MessageView&) {},
                                  [](std::string&, const Ending&) {}};

/// A peer that takes `room` bytes, and a stream that may be committed to more of what it was last offered.
struct TestCarrier final : QuietCarrier {
  explicit TestCarrier(Shard& shard) : QuietCarrier(shard), session(*this, bracketed_ops) { written.reserve(1 << 20); }
  ~TestCarrier() { session.abandon(); }

  IoResult try_write(std::span<const net::const_buffer> buffers) override {
    std::size_t taken = 0;
    std::size_t left = 0;
    for (const auto& buffer : buffers) {
      const std::size_t part = std::min(room, buffer.size());
      written.append(static_cast<const char*>(buffer.data()), part);
      taken += part;
      room -= part;
      left += buffer.size() - part;
    }
    committed_bytes = std::min(commits, left);
    return {taken > 0 ? IoResult::State::moved : IoResult::State::would_block, taken};
  }
  std::size_t committed() const override { return committed_bytes; }
  void await_writable() override {
    operation = std::make_unique<int>();  // as a socket does
    waited_for = true;
  }
  void session_broken(EndReason reason) override {
    why = reason;
    session.abandon();
  }

  std::size_t room = 0;
  std::size_t commits = 0;
  std::size_t committed_bytes = 0;
  std::string written;
  bool waited_for = false;
  std::unique_ptr<int> operation;
  std::optional<EndReason> why;
  StreamSession session;
};

}  // namespace

TEST_CASE("a stream that there is no memory to stop inside a message with sends the rest of it next, or is reset",
          "[session][DESIGN-3.4][DESIGN-3.8]") {
  const std::size_t size = GENERATE(900, 5'000);   // of which little is left, or much
  const std::size_t commits = GENERATE(0, 9'000);  // no more than it sends, or into the next segment
  const bool backlog = GENERATE(true, false);
  int resets = 0;
  bool struck = true;
  for (long which = 0; struck; ++which) {
    CAPTURE(size, commits, backlog, which);
    net::io_context io{1};
    const auto shard = std::make_shared<Shard>(io, true);
    const Channel channel({.max_lag = backlog ? 1'000U : 100'000U});
    const Publisher publisher(channel);
    TestCarrier peer(*shard);
    const auto run = [&](const auto& task) {
      shard->post(task);
      io.restart();
      while (thrown_by([&] { io.poll(); })) {
      }
    };
    std::string expected;
    const auto publish = [&] {
      for (const char letter : {'a', 'b', 'c'}) {
        publisher.publish({.data = std::string(size, letter)});
        expected += "<" + std::string(size, letter) + ">";
      }
    };
    if (backlog) publish();
    run([&] {
      const StartRequest start{StartRequest::Kind::earliest, {}, 0};
      const auto begin = peer.session.join(shard->feed(ChannelAccess::state(channel)), start, DefaultStart::latest);
      peer.room = size + 100;
      peer.commits = commits;
      if (backlog) failing_allocation = which;
      peer.session.open({}, *begin, start);
    });
    if (!backlog) {
      run([&] {
        publish();
        failing_allocation = which;
      });
    }
    struck = std::exchange(failing_allocation, -1) < 0;
    peer.room = peer.written.capacity() / 2;
    peer.commits = 0;
    // What comes now is no more than news, and nothing but a wait for the peer goes on with the rest.
    expected += "<news>";
    run([&] { publisher.publish({.data = "news"}); });
    if (!peer.why && std::exchange(peer.waited_for, false)) run([&] { peer.session.writable(); });
    CHECK(expected.starts_with(peer.written));
    if (!peer.session.ending()) {
      CHECK(peer.written.size() == expected.size());
    } else if (!peer.why) {
      CHECK(peer.written.empty());  // there was no memory to encode anything
    } else {
      CHECK(peer.why == EndReason::internal_error);
      ++resets;
    }
  }
  CHECK(resets > 0);
}
