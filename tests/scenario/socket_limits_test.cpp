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

TEST_CASE("sockets have the bounds of the kernel's buffers, accepted or adopted", "[scenario][DESIGN-3.5]") {
  struct {
    EndpointOptions options;
    int unsent_bytes;
    int user_timeout;
  } const cases[] = {
      {{}, 128 << 10, 60'000},  // two heartbeats
      {{.stream = {.heartbeat = 5s, .write_timeout = 25s}}, 128 << 10, 25'000},
      {{.socket = {.unsent_bytes = 77'777, .user_timeout = 44s}}, 77'777, 44'000},
  };
  const bool adopted = GENERATE(false, true);
  for (const auto& [options, unsent_bytes, user_timeout] : cases) {
    INFO((adopted ? "adopted, " : "accepted, ") << unsent_bytes << ", " << user_timeout);
    Served<Sse> served(options);
    served.start();
    net::io_context connecting;
    net::ip::tcp::acceptor listening(connecting, {net::ip::address_v4::loopback(), 0});
    Connection connection(adopted ? listening.local_endpoint().port() : served.port());
    const auto port = adopted ? listening.local_endpoint().port() : served.port();
    if (adopted) REQUIRE_FALSE(served.server.adopt(listening.accept(), std::string()));
    SseClient client(std::move(connection), "/c");
    client.open();
    const auto socket = accepted_at(port);
    REQUIRE(socket);
    CHECK(tcp_option(*socket, TCP_NODELAY) != 0);
    CHECK(tcp_option(*socket, TCP_NOTSENT_LOWAT) == unsent_bytes);
    CHECK(tcp_option(*socket, TCP_USER_TIMEOUT) == user_timeout);
  }
}
#endif
