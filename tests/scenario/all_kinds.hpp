#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <downlink/downlink.hpp>

#include "support/loop.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

namespace downlink::testing {

using namespace std::chrono_literals;

using EveryServer = Server<WebSocket, Sse, LongPolling, ShortPolling>;

/// A server of two loops, which a test runs or lets go of.
struct TwoLoops {
  TwoLoops() {
    server.route("/c", channel);
    server.start();
  }

  Channel channel;
  std::unique_ptr<net::io_context> first = std::make_unique<net::io_context>(1);
  std::unique_ptr<net::io_context> second = std::make_unique<net::io_context>(1);
  EveryServer server{Contexts{*first, *second}};
};

/// A client of each kind, and connections that are in the middle of something.
struct Crowd {
  explicit Crowd(std::uint16_t port)
      : sse(port, "/c"), ws(port, "/c", WebSocketClient::v1), held(port, 20s), idle(port, 20s), half(port, 20s) {
    sse.open();
    ws.open();
    held.send(request_text("GET", "/c?wait=60"));
    idle.send(request_text("GET", "/c"));
    idle.read_response();
    half.send("GET /c HTT");
  }
  bool all_closed() {
    return sse.connection().closed_by_peer() && ws.connection().closed_by_peer() && held.closed_by_peer() &&
           idle.closed_by_peer() && half.closed_by_peer();
  }

  SseClient sse;
  WebSocketClient ws;
  Connection held;
  Connection idle;
  Connection half;
};

/// Whether a connection to this port is refused.
inline bool refuses(std::uint16_t port) {
  try {
    Connection connection(port);
    return connection.closed_by_peer(100ms);
  } catch (const std::system_error&) {
    return true;
  }
}

/// Something that comes about once, on another thread.
class Event {
 public:
  void set() { happened_ = true; }
  bool happened() const { return happened_; }
  bool wait() const {
    return eventually([this] { return happened(); }, 20s);
  }

 private:
  std::atomic<bool> happened_{false};
};

}  // namespace downlink::testing
