// A program of its own: it replaces the global operator new.

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <new>
#include <string>

#include <downlink/downlink.hpp>

#include "allocation/failing.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

namespace {

thread_local bool counts = false;
std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> live{0};  // bytes, of all threads

void* uncounted(std::size_t size) noexcept {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory) live.fetch_add(::malloc_usable_size(memory), std::memory_order_relaxed);
  return memory;
}

void* counted(std::size_t size) {
  if (counts) allocations.fetch_add(1, std::memory_order_relaxed);
  if (downlink::testing::failing_allocation >= 0 && downlink::testing::failing_allocation-- == 0)
    throw std::bad_alloc();
  if (void* memory = uncounted(size)) return memory;
  throw std::bad_alloc();
}

void given_back(void* memory) noexcept {
  live.fetch_sub(::malloc_usable_size(memory), std::memory_order_relaxed);  // of none it is 0
  std::free(memory);
}

}  // namespace

// Not inlined: GCC would see through one side of a pair and take the other for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return uncounted(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return uncounted(size); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { given_back(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { given_back(memory); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { given_back(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { given_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { given_back(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { given_back(memory); }

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

constexpr int warm_up = 600;
constexpr int measured = 1000;

std::string payload(int index) {
  std::string text = std::to_string(index);
  return "payload " + std::string(8 - text.size(), '0') + text;
}

/// Allocations on the server's thread while it publishes 1000 messages, one at a time, and delivers each to so many
/// subscribers.
template <class Client>
std::size_t allocations_with(std::size_t subscribers, bool one_thread) {
  Channel channel;
  const Publisher publisher(channel);
  Loop loop;
  Server<Sse, WebSocket> server(loop.context(), {.endpoint = {.one_thread = one_thread}});
  server.route("/c", channel);
  server.start();
  std::deque<Client> clients;
  for (std::size_t i = 0; i < subscribers; ++i) {
    if constexpr (std::is_same_v<Client, WebSocketClient>) {
      clients.emplace_back(server.port(), "/c", i % 2 == 0 ? WebSocketClient::v1 : std::string_view());
    } else {
      clients.emplace_back(server.port(), "/c");
    }
  }
  if (!eventually([&] { return channel.subscriber_count() == subscribers; })) throw std::runtime_error("not all came");
  for (int i = 0; i < warm_up + measured; ++i) {
    if (i == warm_up) {
      loop.run_on([] {
        allocations = 0;
        counts = true;
      });
    }
    loop.run_on([&] { publisher.publish({.data = payload(i)}); });
    for (auto& client : clients) client.connection().read_until(payload(i));
  }
  loop.run_on([] { counts = false; });
  return allocations;
}

}  // namespace

TEST_CASE("delivering to a stream allocates nothing in steady state", "[scenario][DESIGN-3.6]") {
  // Of 40 subscribers and 1000 messages more, not one delivery; but a slow run sees the shard's one timer armed anew.
  constexpr std::size_t timers = 5;
  const bool one_thread = GENERATE(true, false);
  SECTION("SSE") {
    const auto few = allocations_with<SseClient>(10, one_thread);
    const auto many = allocations_with<SseClient>(50, one_thread);
    CHECK(many <= few + timers);
  }
  SECTION("WebSocket") {
    const auto few = allocations_with<WebSocketClient>(10, one_thread);
    const auto many = allocations_with<WebSocketClient>(50, one_thread);
    CHECK(many <= few + timers);
  }
}

TEST_CASE("what a message costs does not depend on whether somebody is subscribed", "[scenario][DESIGN-3.6]") {
  // Records with their strings, segments, an id's text now and then: a handful for each message.
  CHECK(allocations_with<SseClient>(50, true) < measured * 6);
  CHECK(allocations_with<WebSocketClient>(50, true) < measured * 6);
}

TEST_CASE("while a poll is held, its body is not kept, and of what follows it no more than a head",
          "[scenario][DESIGN-3.5]") {
  constexpr std::size_t polls = 20;
  constexpr std::size_t body = 100'000;
  Channel channel;
  Loop loop;
  Server<LongPolling> server(loop.context(), {.endpoint = {.limits = {.max_head = 4096}, .one_thread = true}});
  server.route("/c", channel);
  server.on_message("/c", [](const Peer&, const Inbound&) {});
  server.start();
  const std::string poll = "Prefer: wait=60\r\n";
  std::string request;
  SECTION("its own body") { request = request_text("GET", "/c", poll, std::string(body, 'x')); }
  SECTION("behind a body") {
    request = request_text("POST", "/c", {}, std::string(body, 'x')) + request_text("GET", "/c", poll) +
              std::string(body, 'y');
  }
  std::deque<Connection> clients;
  const auto with = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) clients.emplace_back(server.port()).try_send(request);
    REQUIRE(eventually([&] { return channel.subscriber_count() == clients.size(); }));
    return loop.run_on([] { return live.load(); });
  };
  const std::size_t before = with(1);
  CHECK(with(polls) < before + polls * 20'000);
}

TEST_CASE("where there is no memory for a connection, it is dropped, and accepting resumes after a pause",
          "[scenario][DESIGN-3.5]") {
  const int successes = GENERATE(range(0, 6));
  CAPTURE(successes);
  Channel channel;
  Loop loop;
  Server<Sse, ShortPolling> server(loop.context(),
                                   {.endpoint = {.max_connections_per_address = 10, .one_thread = true}});
  server.route("/c", channel);
  server.start();
  // So that Asio has what it needs for one more socket.
  CHECK(get(server.port(), "/c").status == 200);
  REQUIRE(eventually([&] { return server.connection_count() == 0; }));
  loop.run_on([&] { failing_allocation = successes; });
  const Connection dropped(server.port());
  REQUIRE(eventually([&] { return server.stats().accept_errors == 1; }));
  CHECK(server.connection_count() == 0);
  for (int i = 0; i < 20; ++i) CHECK(get(server.port(), "/c").status == 200);  // the address has lost nothing by it
}
