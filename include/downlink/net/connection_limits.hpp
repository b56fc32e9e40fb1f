#pragma once

#include <downlink/net/connection.hpp>
#include <downlink/wire/proxy_protocol.hpp>

/// How a connection finds out on whose behalf a trusted proxy speaks, is held to the limits of its endpoint and
/// channel, and is refused past them (WIRE §8).

namespace downlink::detail {

DOWNLINK_DECL void Connection::meet_peer() {
  const auto& proxies = core_->trusted_proxies;
  auto peer = proxies.empty() ? std::string() : remote_address();
  if (proxies.contains(peer)) {
    proxied_ = std::make_unique<Proxied>(Proxied{peer, peer});
  } else {
    awaits_proxy_header_ = false;
  }
}

// Whether the connection's first bytes are past; if not, more have to come, or it was closed.
DOWNLINK_DECL bool Connection::take_proxy_header() {
  const auto header = wire::parse_proxy_header(http_->unread);
  if (header.state == wire::ProxyHeader::State::incomplete) return false;
  error_code error;
  auto& proxied = *proxied_;
  auto& peer = proxied.peer;
  if (!header.source.empty()) peer = net::ip::make_address(header.source, error).to_string();
  if (header.state == wire::ProxyHeader::State::malformed || error) {
    close(true);
    return false;
  }
  awaits_proxy_header_ = false;
  http_->unread.erase(0, header.size);
  proxied.client = peer;
  // Somebody whom the proxy relays without an address makes up what headers say.
  proxied.unknown = header.source.empty() && !header.local;
  proxied.trusted = !proxied.unknown && core_->trusted_proxies.contains(peer);
  count_as_client();
  if (admission_ == Admission::Verdict::turned_away) {
    close(true);
    return false;
  }
  return true;
}

// A proxy may send requests of many clients over one connection.
DOWNLINK_DECL void Connection::believe_proxies() {
  auto named = core_->trusted_proxies.client(http_->head, proxied_->peer);
  proxied_->client = std::move(named.address);
  proxied_->unknown = named.unknown;
  count_as_client();
}

// The address that counts for limits, logs and peers.
DOWNLINK_DECL std::string Connection::client_address() { return proxied_ ? proxied_->client : remote_address(); }

// Counts the connection; the verdict stands for as long as it lives.
DOWNLINK_DECL void Connection::enter_endpoint() {
  const auto& options = core_->options;
  const auto& rate = options.inbound_rate;
  const bool by_address = options.max_connections_per_address > 0;
  if (by_address || rate.messages_per_second > 0 || rate.bytes_per_second > 0) limited_ = std::make_unique<Limited>();
  // A proxy's address is everybody's: who is behind it counts once that is known.
  if (by_address && !proxied_) limited_->address = address_key(remote_address());
  admission_ = core_->admission.enter(limited_ ? limited_->address : no_address);
}

DOWNLINK_DECL void Connection::leave_endpoint() {
  core_->admission.leave(limited_ ? limited_->address : no_address, admission_);
  core_->connections.fetch_sub(1);
  shard().remove(*this);
}

// Counts the connection for whom the proxy named. Proxies that speak for themselves have no limit of their own; those
// who are behind one and not known share one, or a client would have none by hiding itself.
DOWNLINK_DECL void Connection::count_as_client() {
  auto& core = *core_;
  if (core.options.max_connections_per_address == 0) return;
  const auto& client = proxied_->client;
  const bool own = !proxied_->unknown && core.trusted_proxies.contains(client);
  const auto address = own ? no_address : address_key(client);
  if (address == limited_->address) return;
  core.admission.leave(limited_->address, std::exchange(admission_, Admission::Verdict::turned_away));
  limited_->address = address;
  admission_ = core.admission.enter(address);
}

DOWNLINK_DECL Negotiated Connection::negotiated() {
  const auto& core = *core_;
  Negotiated chosen;
  const auto failure = thrown_by([&] {
    chosen = negotiate(http_->head, core.kinds,
                       [&](std::size_t index) { return core.transports[index].ops->claims(http_->head); });
  });
  if (!failure) return chosen;
  handler_failed(failure);  // the transport is the application's
  return {.status = 500};
}

// 503, but to those who would never come back a stream that says when to.
DOWNLINK_DECL void Connection::refuse_over_limit(std::string_view detail) {
  counters().over_limit.add();
  const auto chosen = http_->found.route ? negotiated() : Negotiated{};
  const auto* const transport =
      chosen.index >= 0 ? core_->transports[static_cast<std::size_t>(chosen.index)].ops : nullptr;
  if (transport && transport->kind == TransportKind::sse && http_->head.method() != "POST") {
    log(LogLevel::warning, LogEvent::request_refused, detail, 503);
    std::string body;
    wire::append_sse_retry(body, retry());
    std::string headers;
    wire::append_header(headers, "Content-Type", transport->content_type);
    headers += transport->headers;
    return respond(200, headers, std::move(body));
  }
  std::string headers;
  wire::append_header(headers, "Retry-After", std::to_string(1 + core_->jitter(5)));
  refuse(503, detail, false, std::move(headers));
}

// How long until the peer may send again; zero when it may now, and then what it sent is counted.
DOWNLINK_DECL std::chrono::nanoseconds Connection::count_inbound(RateMeter Limited::*meter, std::size_t units,
                                                                 std::size_t rate) {
  if (rate == 0) return {};
  return ((*limited_).*meter).take(shard().now(), units, rate, core_->options.inbound_rate.burst);
}
DOWNLINK_DECL std::chrono::nanoseconds Connection::count_inbound_bytes(std::size_t bytes) {
  return count_inbound(&Limited::bytes, bytes, core_->options.inbound_rate.bytes_per_second);
}
DOWNLINK_DECL std::chrono::nanoseconds Connection::count_inbound_message() {
  return count_inbound(&Limited::messages, 1, core_->options.inbound_rate.messages_per_second);
}
// What the one limit refuses does not count towards the other.
DOWNLINK_DECL std::chrono::nanoseconds Connection::count_inbound_post(std::size_t bytes) {
  const auto& rate = core_->options.inbound_rate;
  if (rate.messages_per_second > 0 && rate.bytes_per_second > 0) {
    const auto now = shard().now();
    const auto wait = std::max(limited_->messages.wait(now, 1, rate.messages_per_second, rate.burst),
                               limited_->bytes.wait(now, bytes, rate.bytes_per_second, rate.burst));
    if (wait.count() > 0) return wait;
  }
  return std::max(count_inbound_message(), count_inbound_bytes(bytes));
}

}  // namespace downlink::detail
