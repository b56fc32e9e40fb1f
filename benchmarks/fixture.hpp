#pragma once

#include <chrono>
#include <cstddef>
#include <downlink/downlink.hpp>
#include <functional>

/// A server with one channel at `/feed`, whose loop the calling thread runs.
struct Fixture {
  using Server = downlink::Server<downlink::WebSocket, downlink::Sse, downlink::LongPolling, downlink::ShortPolling>;

  /// `prepare` is called before the server starts.
  explicit Fixture(const std::function<void(Server&)>& prepare = {}) {
    server.route("/feed", channel);
    if (prepare) prepare(server);
    server.start();
  }
  /// Runs until so many are subscribed, and on until all that this brought about is over.
  void run_until(std::size_t subscribers) {
    using namespace std::chrono_literals;
    while (channel.subscriber_count() != subscribers) io.run_for(10ms);
    io.run_for(300ms);
  }

  downlink::net::io_context io{1};
  downlink::Channel channel;
  downlink::Publisher publisher{channel};
  Server server{io, {.endpoint = {.one_thread = true}}};
};
