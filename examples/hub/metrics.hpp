#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace hub {

/// What the hub tells of itself.
struct Metrics {
  std::size_t connections = 0;
  std::size_t channels = 0;
  std::size_t subscribers = 0;
  std::uint64_t messages_published = 0;
  std::chrono::system_clock::time_point started = {};
};

/// The content type of the text below.
inline constexpr auto metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics in Prometheus' text format.
std::string to_prometheus(const Metrics& metrics);

}  // namespace hub
