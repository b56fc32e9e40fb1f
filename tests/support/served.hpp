#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/http_client.hpp"
#include "support/loop.hpp"

namespace downlink::testing {

/// A server at a port of its own with one channel at `/c`, in a loop of its own. What handlers capture is declared
/// before it, and handlers are set before `start`.
template <class... Ts>
struct Served {
  explicit Served(EndpointOptions options = {}, ChannelOptions channel_options = {}, RouteOptions route = {})
      : channel(std::move(channel_options)),
        publisher(channel),
        server(loop.contexts(), {.endpoint = std::move(options)}) {
    server.route("/c", channel, route);
  }

  Served& start() {
    server.start();
    return *this;
  }
  std::uint16_t port() const { return server.port(); }

  /// Publishes text and gives its id's text.
  std::string publish(std::string data) { return publisher.publish({.data = std::move(data)}).value().to_string(); }
  /// Publishes that many messages, "1", "2", and so on, and gives their ids.
  std::vector<std::string> publish_many(int count) {
    std::vector<std::string> ids;
    for (int i = 1; i <= count; ++i) ids.push_back(publish(std::to_string(i)));
    return ids;
  }

  Response get(std::string_view target = "/c", std::string_view headers = {}) {
    return testing::get(port(), target, headers);
  }
  Response post(std::string_view body, std::string_view headers = {}) {
    return testing::post(port(), "/c", body, headers);
  }
  Connection connect() { return Connection(port()); }

  /// Whether that many subscribers come to be there.
  bool subscribers(std::size_t count) {
    return eventually([&] { return channel.subscriber_count() == count; });
  }
  /// Whether that many connections come to be there.
  bool connections(std::size_t count) {
    return eventually([&] { return server.connection_count() == count; });
  }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Server<Ts...> server;
};

using ServedAll = Served<ShortPolling, LongPolling, Sse, WebSocket>;

}  // namespace downlink::testing
