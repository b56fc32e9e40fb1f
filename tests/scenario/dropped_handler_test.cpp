#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scenario/embedded.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// An engine that keeps what it is to call, and then lets go of it.
class LettingGo final : public Engine {
 public:
  using Done = std::function<void(error_code, MessageId)>;

  void async_publish(Message, Done done) override {
    const std::lock_guard guard(mutex_);
    kept_.push_back(std::move(done));
  }
  bool has_some() const {
    const std::lock_guard guard(mutex_);
    return !kept_.empty();
  }
  void let_go() {
    std::vector<Done> dropped;
    const std::lock_guard guard(mutex_);
    dropped.swap(kept_);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Done> kept_;
};

/// A loop that nobody runs and that goes: with it what a handler's coroutine waits for, and so the coroutine.
class LostLoop {
 public:
  net::awaitable<void> wait() {
    ++waiting_;
    co_await timer_->async_wait(net::use_awaitable);
  }
  bool awaited() const {
    return eventually([&] { return waiting_ > 0; });
  }
  /// Once a handler waits that `waiter` runs.
  bool go(Loop& waiter) {
    if (!awaited()) return false;
    waiter.run_on([] {});  // from here on it is suspended
    timer_.reset();
    loop_.reset();
    return true;
  }

 private:
  std::unique_ptr<net::io_context> loop_ = std::make_unique<net::io_context>(1);
  std::optional<net::steady_timer> timer_{std::in_place, *loop_, 1h};
  std::atomic<int> waiting_{0};
};

/// One connection at most, so that one that is never let go of shows.
EndpointOptions only_one(bool one_thread) { return {.max_connections = 1, .one_thread = one_thread}; }

}  // namespace

TEST_CASE("a handler whose coroutine is dropped has failed", "[scenario][DESIGN-3.8]") {
  const bool one_thread = GENERATE(true, false);
  LostLoop lost;
  ServedAll served(only_one(one_thread));
  auto request = request_text("GET", "/c");
  SECTION("a POST's") {
    served.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<void> { co_await lost.wait(); });
    request = request_text("POST", "/c", {}, "x");
  }
  SECTION("an authorizer") {
    served.server.authorize([&](const RequestHead& head) -> net::awaitable<Decision> {
      if (head.query() != "at-once") co_await lost.wait();
      co_return allow();
    });
  }
  SECTION("the fallback") {
    served.server.fallback([&](HttpRequest) -> net::awaitable<HttpResponse> {
      co_await lost.wait();
      co_return HttpResponse{};
    });
    request = request_text("GET", "/elsewhere");
  }
  served.start();
  auto client = served.connect();
  client.send(request);
  REQUIRE(lost.go(served.loop));
  CHECK(client.read_response().status == 500);
  client.close();
  CHECK(served.connections(0));
  CHECK(served.get("/c?at-once").status == 200);
}

TEST_CASE("a WebSocket whose message's handler is dropped ends with 1011", "[scenario][DESIGN-3.8]") {
  const bool one_thread = GENERATE(true, false);
  LostLoop lost;
  ServedAll served(only_one(one_thread));
  served.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<void> { co_await lost.wait(); });
  served.start();
  WebSocketClient client(served.connect(), "/c");
  client.send_text("x");
  REQUIRE(lost.go(served.loop));
  CHECK(client.closes().close_code() == 1011);
  CHECK(served.connections(0));
  CHECK(served.get().status == 200);
}

TEST_CASE("a client that leaves a dropped handler behind costs nothing further", "[scenario][DESIGN-3.8]") {
  LostLoop lost;
  ServedAll served(only_one(GENERATE(true, false)));
  served.server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<void> { co_await lost.wait(); });
  served.start();
  auto client = served.connect();
  client.send(request_text("POST", "/c", {}, "x"));
  REQUIRE(lost.awaited());
  client.reset();
  REQUIRE(lost.go(served.loop));
  CHECK(served.connections(0));
  CHECK(served.get().status == 200);
}

TEST_CASE("a handler that waits for an engine which lets go is told of the engine's failure", "[scenario][DESIGN-7]") {
  const bool one_thread = GENERATE(true, false);
  const auto engine = std::make_shared<LettingGo>();
  const Channel elsewhere({.engine = engine});
  std::mutex mutex;
  std::vector<error_code> told;
  ServedAll served(only_one(one_thread));
  served.server.on_message("/c", [&](Peer, Inbound in) -> net::awaitable<void> {
    Message message{.data = in.data};
    try {
      co_await Publisher(elsewhere).async_publish(std::move(message), net::use_awaitable);
    } catch (const system_error& error) {
      const std::lock_guard guard(mutex);
      told.push_back(error.code());
      throw;
    }
  });
  served.start();
  SECTION("a POST") {
    auto client = served.connect();
    client.send(request_text("POST", "/c", {}, "x"));
    REQUIRE(eventually([&] { return engine->has_some(); }));
    engine->let_go();
    CHECK(client.read_response().status == 500);
  }
  SECTION("a message of a WebSocket") {
    WebSocketClient client(served.connect(), "/c");
    client.send_text("x");
    REQUIRE(eventually([&] { return engine->has_some(); }));
    engine->let_go();
    CHECK(client.closes().close_code() == 1011);
  }
  CHECK(served.connections(0));
  CHECK(served.get().status == 200);
  const std::lock_guard guard(mutex);
  CHECK(told == std::vector<error_code>{make_error_code(errc::engine_failed)});
}

TEST_CASE("publishing ends with an error where the engine lets go of it", "[scenario][DESIGN-7]") {
  const auto engine = std::make_shared<LettingGo>();
  const Channel channel({.engine = engine});
  const Publisher publisher(channel);
  net::io_context context(1);
  std::vector<error_code> told;
  SECTION("for a callback") {
    publisher.async_publish({.data = "x"}, net::bind_executor(context.get_executor(), [&](error_code error, MessageId) {
                              told.push_back(error);
                            }));
    engine->let_go();
  }
  SECTION("for a coroutine") {
    net::co_spawn(
        context,
        [&]() -> net::awaitable<void> {
          Message message{.data = "x"};
          try {
            co_await publisher.async_publish(std::move(message), net::use_awaitable);
          } catch (const system_error& error) {
            told.push_back(error.code());
          }
        },
        [](std::exception_ptr) {});
    context.poll();
    REQUIRE(engine->has_some());
    engine->let_go();
  }
  SECTION("for a future") {
    auto published = publisher.async_publish({.data = "x"}, net::use_future);
    engine->let_go();
    try {
      take(std::move(published));
    } catch (const system_error& error) {
      told.push_back(error.code());
    }
  }
  context.restart();
  context.run_for(patience);
  CHECK(told == std::vector<error_code>{make_error_code(errc::engine_failed)});
}
