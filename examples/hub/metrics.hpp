#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <downlink/channel/stats.hpp>
#include <downlink/net/stats.hpp>
#ifdef EXAMPLE_TLS
#include <downlink/net/tls_context.hpp>
#endif

#include "hub/process.hpp"

namespace hub {

/// What the hub tells of itself.
struct Metrics {
  downlink::ServerStats server = {};
  downlink::HubStats channels = {};
  Process process = {};
#ifdef EXAMPLE_TLS
  /// Where the hub speaks TLS.
  std::optional<downlink::TlsStats> tls = {};
#endif
  std::chrono::system_clock::time_point started = {};
};

/// The content type of the text below.
inline constexpr auto metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics in Prometheus' text format: sums over all channels, so that their number costs no series.
std::string to_prometheus(const Metrics& metrics);

}  // namespace hub
