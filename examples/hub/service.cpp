#include "hub/service.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <utility>

#ifdef EXAMPLE_DEFLATE
#include <downlink/deflate.hpp>
#endif
#include <downlink/wire/query.hpp>

#include "hub/metrics.hpp"
#include "hub/pages.hpp"
#include "hub/process.hpp"

namespace hub {
namespace {

using namespace std::chrono_literals;

constexpr auto route = "/channels/{name}";

downlink::TransportKind kind_of(TransportName name) {
  switch (name) {
    case TransportName::websocket:
      return downlink::TransportKind::websocket;
    case TransportName::sse:
      return downlink::TransportKind::sse;
    case TransportName::long_polling:
      return downlink::TransportKind::long_polling;
    case TransportName::short_polling:
      break;
  }
  return downlink::TransportKind::short_polling;
}

downlink::HubOptions hub_options(const Options& options) {
  downlink::ChannelOptions channel;
  channel.history = {.max_messages = options.history,
                     .max_bytes = options.history_bytes,
                     .max_age = options.history_age.value_or(0ms)};
  channel.max_lag = options.max_lag;
  channel.lag_policy =
      options.lag_policy == LagPolicy::skip ? downlink::LagPolicy::skip : downlink::LagPolicy::disconnect;
  channel.max_message = options.max_message;
  return {.channel = std::move(channel), .idle_expiry = options.channel_idle};
}

downlink::ServerOptions server_options(const Options& options) {
  downlink::EndpointOptions endpoint;
  for (const auto name : options.transports) endpoint.only.push_back(kind_of(name));
  endpoint.stream.heartbeat = options.heartbeat;
  endpoint.cors.allowed_origins = options.allow_origins;
  endpoint.trusted_proxies = options.trusted_proxies;
  endpoint.max_message = options.max_message;
  endpoint.max_wait = options.max_wait;
  endpoint.head_timeout = options.head_timeout;
  endpoint.body_timeout = options.body_timeout;
  endpoint.idle_timeout = options.idle_timeout;
  endpoint.max_connections = options.max_connections;
  endpoint.one_thread = true;
  return {.address = options.address,
          .port = options.port,
          .proxy_protocol = options.proxy_protocol,
          .endpoint = std::move(endpoint)};
}

downlink::Reply refusal(downlink::error_code error) {
  const int status = error == downlink::errc::message_too_large ? 413
                     : error == downlink::errc::bad_event_name  ? 400
                                                                : 503;
  return downlink::Reply::refuse(status, error.message());
}

}  // namespace

Service::Service(const downlink::Contexts& contexts, const Options& options)
    : options_(options),
      access_(options.token, options.publish_token),
      errors_(std::cerr),
      channels_(hub_options(options)),
      telemetry_timer_(contexts.front().get()),
      expiry_timer_(contexts.front().get()),
      server_(contexts, server_options(options)) {
#ifdef EXAMPLE_DEFLATE
  if (options.deflate) downlink::enable_deflate(server_);
#endif
#ifdef EXAMPLE_TLS
  if (options.tls_cert) {
    tls_.emplace(downlink::TlsFiles{.certificate = *options.tls_cert, .key = *options.tls_key});
    downlink::enable_tls(server_, *tls_);
  }
#endif
  server_.route(route, channels_);
  server_.authorize([this](const downlink::RequestHead& head) { return access_.decide(head); });
  server_.on_message(
      route, [this](const downlink::Peer& from, downlink::Inbound message) { return take(from, std::move(message)); });
  server_.on_log([this](const downlink::LogEntry& entry) { errors_.write(entry); });
  server_.fallback(
      [this](const downlink::HttpRequest& request) { return answer_page(request, [this] { return metrics(); }); });
}

void Service::start() {
  server_.start();
  if (options_.telemetry) {
    telemetry_channel_ = channels_.open("telemetry").value();
    publish_telemetry();
  }
  expire_channels();
}

std::string Service::url() const {
  const bool v6 = server_.address().find(':') != std::string::npos;
  return (options_.tls_cert ? "https://" : "http://") + (v6 ? '[' + server_.address() + ']' : server_.address()) + ':' +
         std::to_string(server_.port());
}

void Service::reload() {
#ifdef EXAMPLE_TLS
  if (!tls_) return;
  if (const auto error = tls_->reload())
    std::cerr << "hub: the certificate was not reloaded: " << error.message() << std::endl;
#endif
}

void Service::drain(std::function<void()> done) {
  telemetry_timer_.cancel();
  expiry_timer_.cancel();
  server_.async_drain(options_.drain_timeout, std::move(done));
}

// A message by WebSocket or POST: it is published. A POST is told the message's id.
downlink::Reply Service::take(const downlink::Peer& from, downlink::Inbound message) {
  const auto& who = from.identity();
  if (!Access::may_publish(who)) return downlink::Reply::refuse(401, "publishing needs a token");
  const auto channel = channels_.open(who.parameter("name").value_or(""));
  if (!channel) return refusal(channel.error());
  const auto id = downlink::Publisher(channel.value())
                      .publish({.data = std::move(message.data),
                                .event = downlink::wire::query_value(message.query, "event").value_or(""),
                                .binary = message.binary});
  if (!id) return refusal(id.error());
  if (!message.by_post) return {};
  downlink::Reply reply = downlink::Message{.data = R"({"id":")" + id.value().to_string() + R"(","subscribers":)" +
                                                    std::to_string(channel.value().subscriber_count()) + '}'};
  reply.content_type = "application/json";
  return reply;
}

std::string Service::metrics() const {
  Metrics now{.server = server_.stats(), .channels = channels_.stats(), .process = read_process()};
  now.started = started_;
#ifdef EXAMPLE_TLS
  if (tls_) now.tls = tls_->stats();
#endif
  return to_prometheus(now);
}

void Service::publish_telemetry() {
  const downlink::Publisher publisher(*telemetry_channel_);
  publisher.publish({.data = telemetry_.sample(telemetry_channel_->subscriber_count()), .event = "telemetry"});
  telemetry_timer_.expires_after(1s);
  telemetry_timer_.async_wait([this](downlink::error_code error) {
    if (!error) publish_telemetry();
  });
}

// Opening channels looks for idle ones too, but where none are opened any more they would stay.
void Service::expire_channels() {
  channels_.expire_idle();
  expiry_timer_.expires_after(std::clamp<std::chrono::milliseconds>(options_.channel_idle / 8, 100ms, 10s));
  expiry_timer_.async_wait([this](downlink::error_code error) {
    if (!error) expire_channels();
  });
}

}  // namespace hub
