#include "hub/metrics.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <downlink/version.hpp>

namespace hub {
namespace {

using downlink::EndReason;
using downlink::TransportKind;

std::string version() {
  return std::to_string(DOWNLINK_VERSION_MAJOR) + '.' + std::to_string(DOWNLINK_VERSION_MINOR) + '.' +
         std::to_string(DOWNLINK_VERSION_PATCH);
}

/// Writes families of samples, each family in one piece. Names, help and label values are this file's own and need no
/// escaping.
class Text {
 public:
  /// Begins a family; what counts up ends in `_total`.
  void family(std::string_view name, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name);
    text_.append(name.ends_with("_total") ? " counter\n" : " gauge\n");
  }
  template <class Number>
  void sample(Number value, std::string_view label = {}, std::string_view label_value = {}) {
    text_ += name_;
    if (!label.empty()) text_.append("{").append(label).append("=\"").append(label_value).append("\"}");
    text_.append(" ").append(std::to_string(value)).append("\n");
  }
  template <class Number>
  void one(std::string_view name, std::string_view help, Number value) {
    family(name, help);
    sample(value);
  }
  /// Does nothing where the system does not tell.
  template <class Number>
  void one(std::string_view name, std::string_view help, const std::optional<Number>& value) {
    if (value) one(name, help, *value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string name_;
};

void write_server(Text& text, const downlink::ServerStats& server) {
  text.one("downlink_connections", "Connections that are open.", server.connections);
  text.one("downlink_connections_accepted_total", "Connections that were accepted.", server.accepted);
  text.one("downlink_accept_errors_total", "Failures to accept, each with a pause.", server.accept_errors);
  text.one("downlink_requests_total", "Requests whose head came.", server.requests);
  text.one("downlink_requests_over_limit_total", "Requests refused for too many connections.", server.over_limit);
  // The library's own statuses always, so that the first refusal is an increase; others once they occur.
  constexpr std::array own{400, 401, 403, 404, 405, 406, 408, 413, 414, 426, 431, 500, 501, 503, 505};
  text.family("downlink_requests_refused_total", "Requests that were refused, by the answer's status code.");
  for (int status = server.refused.first; status <= server.refused.last; ++status) {
    const auto count = server.refused[status];
    if (count > 0 || std::find(own.begin(), own.end(), status) != own.end()) {
      text.sample(count, "code", std::to_string(status));
    }
  }

  constexpr std::array kinds{TransportKind::websocket, TransportKind::sse, TransportKind::long_polling,
                             TransportKind::short_polling};
  text.family("downlink_streams", "Streams and held polls that are open, by transport.");
  for (const auto kind : kinds) text.sample(server.subscribers[kind], "transport", name_of(kind));
  text.family("downlink_served_total", "Streams that were opened and polls that were answered, by transport.");
  for (const auto kind : kinds) text.sample(server.served[kind], "transport", name_of(kind));
  text.family("downlink_streams_ended_total", "Streams that ended, by why.");
  for (std::size_t i = 0; i < server.ended.figures.size(); ++i) {
    text.sample(server.ended.figures[i], "reason", name_of(static_cast<EndReason>(i)));
  }

  text.one("downlink_messages_sent_total", "Messages sent, once for each subscriber.", server.messages_sent);
  text.one("downlink_sent_bytes_total", "Bytes that connections took.", server.bytes_sent);
  text.one("downlink_messages_received_total", "Messages that clients sent.", server.messages_received);
  text.one("downlink_received_bytes_total", "Bytes that came over connections.", server.bytes_received);
  text.one("downlink_resumes_total", "Streams and polls that began with a cursor.", server.resumes);
  text.one("downlink_gaps_total", "Times that a client learnt of messages lost to it.", server.gaps);
  text.one("downlink_skips_total", "Times that a stream which lagged too far was skipped forward.", server.skips);
  text.one("downlink_write_timeouts_total", "Connections reset as they took no bytes in time.", server.write_timeouts);
  text.one("downlink_handler_failures_total", "Handlers that threw.", server.handler_failures);
}

#ifdef EXAMPLE_TLS
void write_tls(Text& text, const downlink::TlsStats& tls) {
  text.one("downlink_tls_handshakes_total", "TLS handshakes that were completed.", tls.handshakes);
  text.one("downlink_tls_resumed_total", "TLS handshakes that resumed a session.", tls.resumed);
  text.family("downlink_tls_failures_total", "Connections that were over before their TLS handshake was, by why.");
  for (std::size_t i = 0; i < tls.failed.figures.size(); ++i) {
    text.sample(tls.failed.figures[i], "reason", name_of(static_cast<downlink::TlsFailure>(i)));
  }
}
#endif

void write_channels(Text& text, const downlink::HubStats& hub) {
  const auto& all = hub.sum;
  text.one("downlink_channels", "Channels that are kept.", hub.channels);
  text.one("downlink_channels_created_total", "Channels that were made.", hub.created);
  text.one("downlink_channels_expired_total", "Channels that went for being idle.", hub.expired);
  text.one("downlink_channels_refused_total", "Channels that were not made, as there were too many.", hub.refused);
  text.one("downlink_subscribers", "Subscribers of channels, held polls included.", all.subscribers);
  text.one("downlink_subscribers_dropped_total", "Subscribers that were dropped as too slow.", all.drops);
  text.one("downlink_messages_published_total", "Messages published to channels.", all.published_messages);
  text.one("downlink_published_bytes_total", "Bytes of the payloads published to channels.", all.published_bytes);
  text.family("downlink_messages_removed_total", "Messages that are no longer kept, by why.");
  text.sample(all.evicted_messages, "reason", "evicted");
  text.sample(all.expired_messages, "reason", "expired");
  text.sample(all.superseded_messages, "reason", "superseded");
  text.one("downlink_history_messages", "Messages that cursors may ask for.", all.history_messages);
  text.one("downlink_history_bytes", "Bytes of their payloads.", all.history_bytes);
  text.one("downlink_retained_messages", "Messages kept in history or live tail.", all.retained_messages);
  text.one("downlink_retained_bytes", "Bytes of their payloads.", all.retained_bytes);
  text.one("downlink_encoded_bytes", "Memory of encoded copies of messages.", all.encoded_bytes);
  text.one("downlink_pinned_bytes", "Memory of dropped encodings that slow subscribers still hold.", all.pinned_bytes);
  text.one("downlink_largest_lag_messages", "Messages that a subscriber was behind at most.", all.largest_lag_messages);
  text.one("downlink_largest_lag_bytes", "Bytes that a subscriber was behind at most.", all.largest_lag_bytes);
}

void write_process(Text& text, const Metrics& metrics) {
  const auto& process = metrics.process;
  text.one("process_start_time_seconds", "When the process started, in seconds since 1970-01-01 00:00 UTC.",
           std::chrono::duration<double>(metrics.started.time_since_epoch()).count());
  text.one("process_cpu_seconds_total", "Processor time, the system's included.", process.cpu_seconds);
  text.one("process_resident_memory_bytes", "Memory that is resident.", process.resident_bytes);
  text.one("process_virtual_memory_bytes", "Memory that is mapped.", process.virtual_bytes);
  text.one("process_open_fds", "File descriptors that are open.", process.open_files);
  text.one("process_max_fds", "File descriptors that may be open.", process.max_files);
}

}  // namespace

std::string to_prometheus(const Metrics& metrics) {
  Text text;
  text.family("downlink_build_info", "The version that runs, as a label; always 1.");
  text.sample(1, "version", version());
  write_server(text, metrics.server);
#ifdef EXAMPLE_TLS
  if (metrics.tls) write_tls(text, *metrics.tls);
#endif
  write_channels(text, metrics.channels);
  write_process(text, metrics);
  return text.take();
}

}  // namespace hub
