#if defined(__linux__)

#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "scenario/embedded.hpp"
#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/next_function.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// Stands between this program and the system: whether the system watches no more sockets, as past
// /proc/sys/fs/epoll/max_user_watches.
std::atomic<bool> refuses_sockets{false};

struct RefusingSockets {
  RefusingSockets() { refuses_sockets = true; }
  RefusingSockets(const RefusingSockets&) = delete;
  RefusingSockets& operator=(const RefusingSockets&) = delete;
  ~RefusingSockets() { refuses_sockets = false; }
};

auto open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

const error_code no_room(ENOSPC, net::error::get_system_category());

}  // namespace

extern "C" int epoll_ctl(int loop, int what, int descriptor, epoll_event* event) noexcept {
  if (what == EPOLL_CTL_ADD && refuses_sockets) {
    errno = ENOSPC;
    return -1;
  }
  static auto* const next = next_function<int(int, int, int, epoll_event*)>("epoll_ctl");
  return next(loop, what, descriptor, event);
}

TEST_CASE("taking over a socket that the system does not watch is an error, and closes it", "[scenario][DESIGN-5]") {
  Embedded test;
  const auto before = open_descriptors();
  Connection client(test.application.port());
  client.send(request_text("GET", "/c"));
  SECTION("by adopt") {
    auto [socket, unread, head] = test.application.accept_request();
    const RefusingSockets refusing;
    CHECK(test.endpoint.adopt(std::move(socket), head, unread) == no_room);
  }
  SECTION("by adopt of a native handle") {
    const auto handle = test.application.accept().release();
    const RefusingSockets refusing;
    CHECK(test.endpoint.adopt(handle, AF_INET, "") == no_room);
  }
  SECTION("by async_serve") {
    auto [socket, unread, head] = test.application.accept_request();
    std::promise<std::pair<error_code, bool>> outcome;
    {
      const RefusingSockets refusing;
      test.endpoint.async_serve(std::move(socket), head, unread, [&](error_code error, tcp::socket back, std::string) {
        outcome.set_value({error, back.is_open()});
      });
    }
    CHECK(take(outcome.get_future()) == std::pair(no_room, false));
  }
  CHECK(client.closed_by_peer());
  client.close();
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

TEST_CASE("a served socket that can't be given back is an error, and is closed", "[scenario][DESIGN-5]") {
  Embedded test;
  const auto before = open_descriptors();
  Connection client(test.application.port());
  client.send(request_text("GET", "/c?wait=60"));
  auto [socket, unread, head] = test.application.accept_request();
  std::promise<std::pair<error_code, bool>> outcome;
  test.endpoint.async_serve(std::move(socket), head, unread, [&](error_code error, tcp::socket back, std::string) {
    outcome.set_value({error, back.is_open()});
  });
  REQUIRE(eventually([&] { return test.channel.subscriber_count() == 1; }));
  const RefusingSockets refusing;
  REQUIRE(test.publisher.publish({.data = "x"}));
  CHECK(client.read_response().status == 200);
  CHECK(take(outcome.get_future()) == std::pair(no_room, false));
  CHECK(client.closed_by_peer());
  client.close();
  CHECK(eventually([&] { return open_descriptors() == before; }));
  CHECK(eventually([&] { return test.endpoint.connection_count() == 0; }));
}

#endif
