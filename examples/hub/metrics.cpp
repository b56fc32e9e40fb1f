#include "hub/metrics.hpp"

#include <string_view>

#include <downlink/version.hpp>

namespace hub {
namespace {

std::string version() {
  return std::to_string(DOWNLINK_VERSION_MAJOR) + '.' + std::to_string(DOWNLINK_VERSION_MINOR) + '.' +
         std::to_string(DOWNLINK_VERSION_PATCH);
}

}  // namespace

std::string to_prometheus(const Metrics& metrics) {
  std::string text;
  const auto add = [&text](std::string_view name, std::string_view type, std::string_view help,
                           const std::string& value, std::string_view labels = {}) {
    text.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text.append("# TYPE ").append(name).append(" ").append(type).append("\n");
    text.append(name).append(labels).append(" ").append(value).append("\n");
  };
  add("downlink_build_info", "gauge", "The version that runs, as a label; always 1.", "1",
      "{version=\"" + version() + "\"}");
  add("downlink_connections", "gauge", "Connections that are open.", std::to_string(metrics.connections));
  add("downlink_channels", "gauge", "Channels that are kept.", std::to_string(metrics.channels));
  add("downlink_subscribers", "gauge", "Subscribers of channels, held polls included.",
      std::to_string(metrics.subscribers));
  add("downlink_messages_published_total", "counter", "Messages published to channels.",
      std::to_string(metrics.messages_published));
  add("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970-01-01 00:00 UTC.",
      std::to_string(std::chrono::duration<double>(metrics.started.time_since_epoch()).count()));
  return text;
}

}  // namespace hub
