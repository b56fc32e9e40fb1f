#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "channel/encoded_log_fixture.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("random reads of a random log join to its live messages", "[channel][DESIGN-1][WIRE-1]") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t bound) { return random() % bound; };
    EncodedLogFixture f({.history = {.max_messages = below(2) ? 50 + below(500) : 50'000},
                         .max_encoded = below(3) == 0 ? 1 : 10'000 + below(500'000)});
    const bool keyed = below(2) == 0;
    const bool mortal = below(2) == 0;
    const bool large = below(4) == 0;
    for (int step = 0; step < 60; ++step) {
      for (auto count = below(below(4) ? 20 : 400); count > 0; --count) {
        std::optional<std::string> key;
        if (keyed && below(4)) key = std::to_string(below(60));
        std::optional<milliseconds> ttl;
        if (mortal && below(2)) ttl = milliseconds(below(50));
        f.publish(std::string(large && below(40) == 0 ? below(150'000) : below(200), 'x'), key, ttl);
      }
      f.clock->move(milliseconds(below(20)));
      if (below(50) == 0) {
        const MessageId next = f.state->id_of(f.state->head());
        const MessageId jump{next.epoch, next.offset + 1 + below(300)};
        REQUIRE(f.state->append({.data = "jumped"}, &jump));
      }
      ReadLimits limits;
      if (below(2)) limits.bytes = 1 + below(below(2) ? 2000 : 200'000);
      if (below(3) == 0) limits.messages = 1 + below(100);
      if (below(3) == 0) limits.pieces = 1 + below(6);
      const Position oldest = f.state->resume_earliest();
      const Position from = oldest + below(f.state->head() + 2 - oldest);
      CAPTURE(step, from, limits.bytes, limits.messages, limits.pieces);
      f.check(below(3) ? plain : wordy, from, limits);
    }
  }
}

namespace {

/// Lets a thread wait for news of a channel.
class News final : public detail::Waker {
 public:
  explicit News(ChannelState& state) : state_(state) { state_.add_waker(*this); }
  ~News() { state_.remove_waker(*this); }
  void wake() noexcept override {
    const std::lock_guard guard(mutex_);
    fresh_ = true;
    came_.notify_one();
  }
  bool wait() {
    std::unique_lock guard(mutex_);
    const bool came = came_.wait_for(guard, 10s, [this] { return fresh_; });
    fresh_ = false;
    return came;
  }

 private:
  ChannelState& state_;
  std::mutex mutex_;
  std::condition_variable came_;
  bool fresh_ = false;
};

/// Follows a channel to its close; nothing when each message came once and in order.
std::string follow(ChannelState& state, Form form, std::uint64_t last) {
  News news(state);
  const auto attached = state.attach({StartRequest::Kind::latest, {}, 0}, DefaultStart::latest);
  Position next = attached.start.next;
  std::uint64_t offset = state.id_of(next - 1).offset;
  std::string wrong;
  Range range;
  while (wrong.empty() && offset < last) {
    state.read(form, next, {.bytes = 30'000}, range);
    if (range.lost) wrong = "lost at " + std::to_string(next);
    std::string_view text;
    const std::string bytes = bytes_of(range);
    for (text = bytes; !text.empty() && wrong.empty();) {
      const std::string start = MessageId{EncodedLogFixture::epoch, ++offset}.to_string() + "||";
      const auto end = text.find('\n');
      if (!text.starts_with(start) || end == text.npos) wrong = "not " + start;
      text.remove_prefix(std::min(text.size(), end + 1));
    }
    next = range.next;
    if (wrong.empty() && offset < last && !range.more && state.head() < next && !news.wait()) wrong = "no news";
  }
  state.detach();
  return wrong;
}

}  // namespace

TEST_CASE("two threads that read one form while another publishes get each message once, in order",
          "[channel][threads][DESIGN-3.2][DESIGN-3.3]") {
  constexpr std::uint64_t count = 20'000;
  ChannelOptions options{.history = {.max_messages = 1},
                         .max_lag = std::size_t{1} << 30,
                         .max_lag_messages = std::size_t{1} << 30,
                         .max_encoded = 200'000};
  ChannelState state(options, EncodedLogFixture::epoch);
  std::string wrong[3];
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    // The third one has a form of its own, so that the forms' sheds meet.
    threads.emplace_back([&, i] { wrong[i] = follow(state, i == 2 ? &form_ops<Interrupted> : plain, count); });
  }
  for (std::uint64_t i = 0; i < count; ++i) state.append({.data = std::string(i % 100, 'x')});
  for (auto& thread : threads) thread.join();
  for (const auto& text : wrong) CHECK(text == "");
  CHECK(state.subscribers() == 0);
}
