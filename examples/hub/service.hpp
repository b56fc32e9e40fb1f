#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include <downlink/downlink.hpp>
#ifdef EXAMPLE_TLS
#include <downlink/tls.hpp>
#endif

#include "hub/access.hpp"
#include "hub/error_log.hpp"
#include "hub/options.hpp"
#include "hub/telemetry.hpp"

namespace hub {

/// Everything that the hub serves (WIRE §10). It runs in the caller's loops, each of them run by one thread, and is
/// used on the first one's thread.
class Service {
 public:
  Service(const downlink::Contexts& contexts, const Options& options);

  /// Begins to listen and to publish telemetry. Throws `downlink::system_error` where it can't listen.
  void start();

  /// Where it listens, as `http://ADDRESS:PORT`, or `https`.
  std::string url() const;

  /// Reads the certificate again, where there is one.
  void reload();

  /// Stops in an orderly way within the drain timeout, then calls `done`.
  void drain(std::function<void()> done);

 private:
  downlink::Reply take(const downlink::Peer& from, downlink::Inbound message);
  std::string metrics() const;
  void publish_telemetry();
  void expire_channels();

  const Options options_;
  const Access access_;
  const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
  ErrorLog errors_;
  downlink::Hub channels_;
  std::optional<downlink::Channel> telemetry_channel_;
  Telemetry telemetry_;
  downlink::net::steady_timer telemetry_timer_;
  downlink::net::steady_timer expiry_timer_;
  downlink::Server<downlink::WebSocket, downlink::Sse, downlink::LongPolling, downlink::ShortPolling> server_;
#ifdef EXAMPLE_TLS
  std::optional<downlink::Tls> tls_;
#endif
};

}  // namespace hub
