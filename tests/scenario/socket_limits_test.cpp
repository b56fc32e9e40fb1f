#if defined(__linux__)
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// This process's end of the one connection that was accepted at that port.
std::optional<int> accepted_at(std::uint16_t port) {
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in own{};
    sockaddr_in peer{};
    socklen_t own_size = sizeof own;
    socklen_t peer_size = sizeof peer;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 && own.sin_family == AF_INET &&
        own.sin_port == htons(port) && ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0) {
      return fd;
    }
  }
  return std::nullopt;
}

int tcp_option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(fd, IPPROTO_TCP, name, &value, &size);
  return value;
}

}  // namespace

TEST_CASE("accepted sockets have the bounds of the kernel's buffers", "[scenario][DESIGN-3.5]") {
  Served<Sse> served({.socket = {.unsent_bytes = 77'777, .user_timeout = 44s}});
  served.start();
  SseClient client(served.port(), "/c");
  client.open();
  const auto socket = accepted_at(served.port());
  REQUIRE(socket);
  CHECK(tcp_option(*socket, TCP_NODELAY) != 0);
  CHECK(tcp_option(*socket, TCP_NOTSENT_LOWAT) == 77'777);
  CHECK(tcp_option(*socket, TCP_USER_TIMEOUT) == 44'000);
}
#endif
