#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/loop.hpp"

namespace downlink::testing {

struct WebSocketServer {
  explicit WebSocketServer(ChannelOptions channel_options = {}, EndpointOptions endpoint = {})
      : channel(std::move(channel_options)), publisher(channel), server(loop.context(), {.endpoint = endpoint}) {
    server.route("/c", channel);
  }
  std::uint16_t start() {
    server.start();
    return server.port();
  }
  std::string publish(Message message) { return publisher.publish(std::move(message)).value().to_string(); }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Server<WebSocket> server;
};

/// One that answers each message with itself.
struct EchoServer : WebSocketServer {
  explicit EchoServer(EndpointOptions endpoint = {}) : WebSocketServer({}, std::move(endpoint)) {
    server.on_message("/c", [](Peer, Inbound in) { return Reply(Message{.data = in.data, .binary = in.binary}); });
  }
};

/// What handlers note, for the test's own thread to look at.
class Notes {
 public:
  void add(std::string note) {
    const std::lock_guard guard(mutex_);
    notes_.push_back(std::move(note));
  }
  std::vector<std::string> all() const {
    const std::lock_guard guard(mutex_);
    return notes_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
};

}  // namespace downlink::testing
