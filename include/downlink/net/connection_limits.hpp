#pragma once

#include <downlink/net/connection.hpp>

/// How a connection is held to the limits of its endpoint and channel, and how it is refused past them (WIRE §8).

namespace downlink::detail {

// Counts the connection; the verdict stands for as long as it lives.
inline void Connection::enter_endpoint() {
  const auto& options = core_->options;
  core_->connections.fetch_add(1);
  const auto& rate = options.inbound_rate;
  if (options.max_connections_per_address > 0 || rate.messages_per_second > 0 || rate.bytes_per_second > 0) {
    limited_ = std::make_unique<Limited>();
  }
  if (options.max_connections_per_address > 0) limited_->address = address_key(remote_address());
  admission_ = core_->admission.enter(limited_ ? limited_->address : no_address);
}

inline void Connection::leave_endpoint() {
  core_->admission.leave(limited_ ? limited_->address : no_address, admission_);
  core_->connections.fetch_sub(1);
  shard().remove(*this);
}

inline Negotiated Connection::negotiated() const {
  const auto& core = *core_;
  return negotiate(http_->head, core.kinds,
                   [&](std::size_t index) { return core.transports[index].ops->claims(http_->head); });
}

// 503, but to those who would never come back a stream that says when to.
inline void Connection::refuse_over_limit(std::string_view detail) {
  counters().over_limit.add();
  const auto chosen = negotiated();
  if (chosen.index >= 0 && core_->kinds[static_cast<std::size_t>(chosen.index)] == TransportKind::sse &&
      http_->head.method() == "GET") {
    log(LogLevel::warning, LogEvent::request_refused, detail, 503);
    std::string body;
    wire::append_sse_retry(body, retry());
    return respond(200, "Content-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n",
                   std::move(body));
  }
  std::string headers;
  wire::append_header(headers, "Retry-After", std::to_string(1 + core_->jitter(5)));
  refuse(503, detail, false, std::move(headers));
}

// How long until the peer may send again; zero when it may now, and then what it sent is counted.
inline std::chrono::nanoseconds Connection::count_inbound(RateMeter Limited::*meter, std::size_t units,
                                                          std::size_t rate) {
  if (rate == 0) return {};
  return ((*limited_).*meter).take(shard().now(), units, rate, core_->options.inbound_rate.burst);
}
inline std::chrono::nanoseconds Connection::count_inbound_bytes(std::size_t bytes) {
  return count_inbound(&Limited::bytes, bytes, core_->options.inbound_rate.bytes_per_second);
}
inline std::chrono::nanoseconds Connection::count_inbound_message() {
  return count_inbound(&Limited::messages, 1, core_->options.inbound_rate.messages_per_second);
}

}  // namespace downlink::detail
