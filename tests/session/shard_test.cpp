#include <array>
#include <chrono>
#include <functional>
#include <memory>

#include <downlink/session/shard.hpp>

#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace std::chrono_literals;

namespace {

struct Busy final : Deadline {
  void expired() override {
    ++*count;
    const auto end = std::chrono::steady_clock::now() + 200us;
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  int* count = nullptr;
};

}  // namespace

TEST_CASE("deadlines that fall due together leave the application's handlers their turns", "[session][DESIGN-3.7]") {
  net::io_context io{1};
  const auto shard = std::make_shared<Shard>(io, true);
  int expired = 0;
  std::array<Busy, 200> crowd;
  for (auto& one : crowd) {
    one.count = &expired;
    shard->set(one, 100ms);
  }
  int turns = 0;
  const std::function<void()> tick = [&] {
    if (expired > 0) ++turns;
    if (expired < 200) net::post(io, tick);
  };
  tick();
  io.run();
  CHECK(expired == 200);
  CHECK(turns >= 30);  // a millisecond's worth at a time, five of them
}
