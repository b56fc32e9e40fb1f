#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include <downlink/downlink.hpp>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("however many requests came while the loop was busy, before it drains, they are answered",
          "[scenario][WIRE-9]") {
  constexpr std::size_t count = 300;  // more than the system tells of at once
  const int threads = GENERATE(1, 2);
  Channel channel;
  Event drained;
  std::promise<void> sending, beginning;
  const auto sent = sending.get_future().share();
  const auto begun = beginning.get_future().share();
  std::atomic<int> busy = 0;
  net::io_context io;
  EveryServer server(io, {.endpoint = {.one_thread = threads == 1}});
  server.route("/c", channel);
  server.start();
  std::deque<std::jthread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back([&] { io.run(); });
  const struct Stop {  // else a check that fails would wait for the threads
    net::io_context& io;
    ~Stop() { io.stop(); }
  } stop{io};
  std::deque<Connection> clients;
  for (std::size_t i = 0; i < count; ++i) {
    clients.emplace_back(server.port(), 20s).send(request_text("GET", "/c"));
    REQUIRE(clients.back().read_response().status == 200);
  }
  for (int i = 0; i < threads; ++i) {
    net::post(io, [&] {
      const bool last = ++busy == threads;
      sent.wait();
      if (!last) return begun.wait();  // it looks at nothing before
      server.async_drain(20s, [&] { drained.set(); });
      beginning.set_value();
    });
  }
  REQUIRE(eventually([&] { return busy == threads; }));
  for (auto& client : clients) client.send(request_text("GET", "/c"));
  sending.set_value();
  std::size_t answered = 0;
  for (auto& client : clients) {
    try {
      const auto answer = client.read_response();
      answered += answer.status == 200 && answer.lists("Connection", "close") ? 1 : 0;
    } catch (const std::exception&) {
    }
    client.close();
  }
  CHECK(answered == count);
  CHECK(drained.wait());
}

TEST_CASE("a request that came behind an answer which is still being taken is answered by a drain too",
          "[scenario][WIRE-9]") {
  Event drained;
  Served<ShortPolling> served;
  served.start();
  served.publish(std::string(std::size_t{1} << 20, 'x'));
  auto client = slow_connection(served.port());
  client.send(request_text("GET", "/c?cursor=earliest"));
  REQUIRE(client.read_exactly(12) == "HTTP/1.1 200");
  client.send(request_text("GET", "/c"));
  served.server.async_drain(20s, [&] { drained.set(); });
  served.loop.run_on([] {});
  REQUIRE(client.read_until("\r\n\r\n").find("close") == std::string::npos);
  const auto rest = client.read_to_end();
  CHECK(rest.find("HTTP/1.1 200") != std::string::npos);
  CHECK(rest.find("Connection: close") != std::string::npos);
  client.close();
  CHECK(drained.wait());
}

TEST_CASE("a drain cuts no answer that is on its way, though its client sends on", "[scenario][WIRE-9]") {
  constexpr std::size_t size = 100'000;
  Event drained;
  Served<ShortPolling> served;
  served.start();
  served.publish(std::string(size, 'x'));
  auto client = slow_connection(served.port(), 4096);
  client.send(request_text("GET", "/c?cursor=earliest"));
  REQUIRE(client.read_exactly(12) == "HTTP/1.1 200");
  REQUIRE(eventually([&] { return served.server.stats().bytes_sent > size; }));  // the system has all of it
  served.server.async_drain(20s, [&] { drained.set(); });
  for (int i = 0; i < 10; ++i) served.loop.run_on([] {});
  client.send(request_text("GET", "/c"));  // too late
  const auto rest = client.read_to_end();
  CHECK(rest.size() > size);
  CHECK(rest.ends_with("\"}]}"));
  client.close();
  CHECK(drained.wait());
}

TEST_CASE("a drain answers held polls in slices: the loop does other work between them",
          "[scenario][WIRE-9][DESIGN-3.7]") {
  constexpr std::size_t count = 1000;
  std::uint64_t most = 0;
  Served<LongPolling> served({.one_thread = true});
  served.start();
  std::deque<Connection> clients;
  for (std::size_t i = 0; i < count; ++i) clients.emplace_back(served.port(), 20s).send(request_text("GET", "/c"));
  REQUIRE(served.subscribers(count));
  served.loop.run_on([&] {
    // What the application does between whiles.
    struct Between {
      Served<LongPolling>& served;
      std::uint64_t& most;
      std::uint64_t before;
      void operator()() {
        const auto now = served.server.stats().served[TransportKind::long_polling];
        most = std::max(most, now - std::exchange(before, now));
        if (now < count) net::post(served.loop.context(), *this);
      }
    };
    Between{served, most, served.server.stats().served[TransportKind::long_polling]}();
    served.server.async_drain(20s, [] {});
  });
  for (auto& client : clients) {
    const auto answer = client.read_response();
    CHECK(answer.status == 200);
    CHECK(answer.lists("Connection", "close"));
  }
  CHECK(served.loop.run_on([&] { return most; }) < count);
}
