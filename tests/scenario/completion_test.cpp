#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include <downlink/downlink.hpp>

#include "scenario/all_kinds.hpp"
#include "scenario/embedded.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/tracked_executor.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("async_serve takes callbacks, futures and coroutines", "[scenario][DESIGN-4]") {
  Embedded test;
  Connection client(test.application.port());
  client.send(request_text("GET", "/c"));
  auto [socket, unread, head] = test.application.accept_request();
  SECTION("a callback, on the socket's executor") {
    std::promise<std::pair<bool, std::thread::id>> promise;
    test.endpoint.async_serve(
        std::move(socket), head, unread,
        [&, only_movable = std::make_unique<int>()](error_code error, tcp::socket back, const std::string&) {
          promise.set_value({!error && back.is_open(), std::this_thread::get_id()});
        });
    auto future = promise.get_future();
    REQUIRE(future.wait_for(5s) == std::future_status::ready);
    const auto [good, thread] = future.get();
    CHECK(good);
    CHECK(thread == test.own.run_on([] { return std::this_thread::get_id(); }));
  }
  SECTION("a future") {
    CHECK(std::get<0>(take(test.endpoint.async_serve(std::move(socket), head, unread, net::use_future))).is_open());
  }
  SECTION("a coroutine, of a third loop") {
    Loop third;
    auto done = net::co_spawn(
        third.context(),
        [&]() -> net::awaitable<bool> {
          auto [back, rest] = co_await test.endpoint.async_serve(std::move(socket), head, unread, net::use_awaitable);
          co_return back.is_open();
        },
        net::use_future);
    REQUIRE(done.wait_for(5s) == std::future_status::ready);
    CHECK(done.get());
  }
  CHECK(client.read_response().status == 200);
}

TEST_CASE("an operation under way keeps its handler's loop running", "[scenario][DESIGN-4]") {
  Embedded test;
  net::io_context handlers;  // nothing but the operation is to keep it running
  Connection client(test.application.port());
  client.send(request_text("GET", "/c?wait=0.1"));
  auto [socket, unread, head] = test.application.accept_request();
  bool called = false;
  test.endpoint.async_serve(std::move(socket), head, unread,
                            net::bind_executor(handlers.get_executor(), [&](error_code, const tcp::socket&,
                                                                            const std::string&) { called = true; }));
  handlers.run_for(5s);
  CHECK(called);
  CHECK(client.read_response().status == 200);
}

TEST_CASE("once an operation has completed, its handler's loop may go", "[scenario][DESIGN-3.9]") {
  TrackedLoop loop;
  Event called;
  std::promise<void> initiated;
  const auto of_loop = [&](auto handler) { return net::bind_executor(TrackedExecutor(loop), std::move(handler)); };
  {
    Embedded test;
    Connection client(test.application.port());
    // Nothing completes before the call that begins it is over.
    net::post(test.loop.context(), [future = initiated.get_future().share()] { future.wait(); });
    SECTION("async_serve") {
      client.send(request_text("GET", "/c"));
      auto [socket, unread, head] = test.application.accept_request();
      test.endpoint.async_serve(std::move(socket), head, unread,
                                of_loop([&](error_code, const tcp::socket&, const std::string&) {
                                  loop.end();
                                  called.set();
                                }));
    }
    SECTION("async_drain") {
      test.endpoint.async_drain(1s, of_loop([&] {
                                  loop.end();
                                  called.set();
                                }));
    }
    CHECK(loop.work == 1);
    initiated.set_value();
    CHECK(called.wait());
  }
  CHECK(eventually([&] { return loop.work == 0; }));
  CHECK(loop.touched() == 0);
}
