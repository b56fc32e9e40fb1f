#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <downlink/misuse.hpp>
#include <downlink/net/limits.hpp>
#include <downlink/net/log.hpp>
#include <downlink/net/options.hpp>
#include <downlink/net/trusted_proxies.hpp>
#include <downlink/random.hpp>
#include <downlink/route/router.hpp>
#include <downlink/session/shard.hpp>
#include <downlink/transport/transport.hpp>

namespace downlink {

/// A request that no route serves, as the fallback handler gets it.
struct HttpRequest {
  /// Its method, target and header fields.
  RequestHead head = {};
  /// Its whole body, at most `EndpointOptions::max_message` bytes.
  std::string body = {};
};

/// What the fallback handler answers.
struct HttpResponse {
  /// The status code.
  int status = 200;
  /// The value of `Content-Type`.
  std::string content_type = "text/plain; charset=utf-8";
  /// The body, which a HEAD's answer tells the length of.
  std::string body = {};
  /// Further header fields.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

namespace detail {

class Connection;

/// What an endpoint's connections share. Set up before it serves; after that, only what is atomic changes.
struct EndpointCore {
  /// How a connection serves a request over one transport.
  using Serve = void (Connection::*)(const TransportOps& transport);
  struct Offered {
    const TransportOps* ops;
    Serve serve;
  };

  explicit EndpointCore(EndpointOptions given)
      : options(std::move(given)),
        trusted_proxies(options.trusted_proxies),
        random(random_bits()),
        admission(options.max_connections, options.max_connections_per_address, random_at(random.load())) {
    validate(options.cors);
    const auto positive = [](std::chrono::milliseconds& wait, const char* name) {
      if (wait.count() <= 0) throw_invalid_argument("EndpointOptions: " + std::string(name) + " must be positive");
      wait = std::min(wait, longest_wait);
    };
    positive(options.stream.heartbeat, "stream.heartbeat");
    positive(options.stream.write_timeout, "stream.write_timeout");
    positive(options.head_timeout, "head_timeout");
    positive(options.body_timeout, "body_timeout");
    positive(options.idle_timeout, "idle_timeout");
    positive(options.linger_timeout, "linger_timeout");
    positive(options.inbound_rate.burst, "inbound_rate.burst");
    if (options.stream.retry.count() < 0) throw_invalid_argument("EndpointOptions: stream.retry must not be negative");
    options.stream.retry = std::min(options.stream.retry, longest_wait);
    options.max_message = std::min(options.max_message, std::numeric_limits<std::size_t>::max() / 2);
    if (options.max_connections > 0 && options.max_connections_per_address > options.max_connections) {
      throw_invalid_argument("EndpointOptions: max_connections_per_address must not exceed max_connections");
    }
    check(options.inbound_rate, options.max_message);
    if (options.default_wait > options.max_wait) options.default_wait = options.max_wait;
    if (options.max_message == 0) throw_invalid_argument("EndpointOptions: max_message must be above zero");
    options.limits.max_body = options.max_message;
    if (!options.socket.user_timeout) {
      options.socket.user_timeout = std::max(2 * options.stream.heartbeat, options.stream.write_timeout);
    }
    options.stream.max_peer_queue = std::max(options.stream.max_peer_queue, options.max_message + (64 << 10));
  }

  static void check(const InboundRate& rate, std::size_t max_message) {
    const double seconds = std::chrono::duration<double>(rate.burst).count();
    const auto lets_through = [seconds](std::size_t units, std::size_t per_second) {
      return per_second == 0 || static_cast<double>(units) <= static_cast<double>(per_second) * seconds;
    };
    constexpr std::size_t frame_head = 14;
    if (!lets_through(1, rate.messages_per_second) || !lets_through(max_message + frame_head, rate.bytes_per_second)) {
      throw_invalid_argument(
          "EndpointOptions: inbound_rate must let one message of max_message bytes and a frame's head through in "
          "burst");
    }
  }

  /// A number in [0, bound), to spread what would otherwise happen all at once. Needs no descriptor, of which there may
  /// be none left.
  std::uint32_t jitter(std::uint32_t bound) {
    const std::uint64_t bits = random_at(random.fetch_add(random_step, std::memory_order_relaxed));
    return bound == 0 ? 0 : static_cast<std::uint32_t>(bits >> 32) % bound;
  }

  /// Whether anybody is to be told of what happens. Entries are only made where somebody is.
  bool logs() const { return on_log && !stopped.load(); }
  /// What the hook throws is its own affair.
  void log(const LogEntry& entry) const noexcept {
    if (!logs()) return;
    thrown_by([&] { on_log(entry); });
  }

  EndpointOptions options;
  TrustedProxies trusted_proxies;
  std::atomic<std::uint64_t> random;
  Admission admission;
  std::vector<Offered> transports;
  std::vector<TransportKind> kinds;
  Router router;
  /// What a connection calls where the application has set a handler. A program that sets none has no code for them.
  struct Calls {
    void (Connection::*authorize)() = nullptr;
    void (Connection::*fall_back)() = nullptr;
    void (Connection::*take_post)() = nullptr;
    void (Connection::*take_message)(std::string data, bool binary) = nullptr;
    void (Connection::*make_peer)(TransportKind kind, bool takes_replies) = nullptr;
    /// What a WebSocket uses in place of its plain operations; adds the header line that says so. See `enable_deflate`.
    const StreamOps& (*deflate)(const RequestHead& head, const StreamOps& plain, std::string& headers) = nullptr;
  };
  Calls calls;
  /// Makes the connections of a listener in place of plain ones, by what `tls` holds. See `enable_tls`.
  Connection* (*connect)(const std::shared_ptr<EndpointCore>& core, Shard& shard, SocketStream socket) = nullptr;
  std::shared_ptr<void> tls;
  RequestAuthorizer authorizer;
  AsyncHandler<HttpResponse, HttpRequest> fallback;
  std::function<void(Peer)> on_subscribe;
  std::function<void(Peer, EndReason)> on_unsubscribe;
  std::function<void(const LogEntry&)> on_log;

  std::vector<std::shared_ptr<Shard>> shards;
  std::atomic<std::size_t> next_shard{0};
  std::atomic<std::size_t> connections{0};
  /// Set once the endpoint is gone: no callback of the application's starts any more.
  std::atomic<bool> stopped{false};
  /// Set while draining: answers close their connections.
  std::atomic<bool> draining{false};
};

/// Keeps the shards of a loop, and lets go of it in their name before its reactor goes.
class ShardService final : public net::execution_context::service {
 public:
  using key_type = ShardService;
  static inline net::execution_context::id id;

  // The services that shards use are made first here, so that they are shut down after this one.
  explicit ShardService(net::execution_context& context) : service(context) {
    const auto executor = static_cast<net::io_context&>(context).get_executor();
    const SocketStream::Socket socket(executor);
    const Shard::Acceptor acceptor(executor);
    const Shard::Timer timer(executor);
  }

  std::shared_ptr<Shard> make(net::io_context& context, bool one_thread) {
    auto shard = std::make_shared<Shard>(context, one_thread);
    const std::lock_guard guard(mutex_);
    std::erase_if(shards_, [](const auto& known) { return known.expired(); });
    shards_.push_back(shard);
    return shard;
  }

  void shutdown() noexcept override {
    for (const auto& known : shards_) {
      if (const auto shard = known.lock()) shard->let_go();
    }
  }

 private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<Shard>> shards_;
};

}  // namespace detail
}  // namespace downlink
