// In a program of its own: it stands between the program and the system's recv, to count the calls.

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include <downlink/downlink.hpp>
#include <downlink/wire/http_chunk.hpp>

#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"

namespace {

thread_local std::size_t reads = 0;

}  // namespace

extern "C" ssize_t recv(int socket, void* buffer, std::size_t size, int flags) {
  ++reads;
  return ::recvfrom(socket, buffer, size, flags, nullptr, nullptr);
}

using namespace downlink;
using namespace downlink::testing;

namespace {

constexpr std::size_t length = 1 << 20;

std::string chunked(std::string_view body, std::size_t size) {
  std::string text;
  for (; !body.empty(); body.remove_prefix(std::min(size, body.size()))) {
    wire::append_chunk(text, [&](std::string& out) { out += body.substr(0, size); });
  }
  return text.append(wire::last_chunk);
}

}  // namespace

TEST_CASE("a body is read in large pieces", "[scenario][DESIGN-3.6]") {
  Channel channel;
  Loop loop;
  std::string taken;
  Server<ShortPolling> server(loop.context(), {.endpoint = {.one_thread = true}});
  server.route("/c", channel);
  server.on_message("/c", [&](const Peer&, const Inbound& in) { taken = in.data; });
  server.start();
  Connection client(server.port());
  std::string body;
  while (body.size() < length) body += std::to_string(body.size()) + ' ';
  body.resize(length);
  const auto reads_so_far = [&] { return loop.run_on([] { return reads; }); };
  REQUIRE(reads_so_far() <= 2);
  SECTION("of a length that is said before") {
    client.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" + body +
                request_text("GET", "/c?cursor=earliest"));
  }
  SECTION("in chunks") {
    client.send("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 10'000) +
                request_text("GET", "/c?cursor=earliest"));
  }
  CHECK(client.read_response().status == 202);
  CHECK(loop.run_on([&] { return taken == body; }));
  CHECK(client.read_response().status == 200);  // what came behind it is not taken for a part of it
  // How much there is at a time is the system's to say; in pieces of half a kibibyte these were 2048.
  CHECK(reads_so_far() < 500);
}
