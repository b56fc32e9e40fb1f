#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <downlink/net/endpoint.hpp>
#if DOWNLINK_DEFINITIONS
#include <downlink/net/listener.hpp>
#endif

namespace downlink {
namespace detail {

class Listener;

/// All of a server that does not depend on its transports: its listener, and how it is to listen.
class Listening {
 public:
  /// Throws `std::invalid_argument` for options that contradict each other.
  explicit Listening(ServerOptions options);

  void start(const std::shared_ptr<EndpointCore>& core);
  void start(const std::shared_ptr<EndpointCore>& core, error_code& error);
  void stop(const EndpointCore& core) noexcept;

  std::uint16_t port() const;
  const std::string& address() const { return options_.address; }

 private:
  ServerOptions options_;
  std::shared_ptr<Listener> listener_;
};

#if DOWNLINK_DEFINITIONS

DOWNLINK_DECL Listening::Listening(ServerOptions options) : options_(std::move(options)) {
  if (options_.backlog <= 0) throw std::invalid_argument("ServerOptions: backlog must be above zero");
  if (options_.proxy_protocol && options_.endpoint.trusted_proxies.empty()) {
    throw std::invalid_argument("ServerOptions: proxy_protocol needs endpoint.trusted_proxies, from whom it is taken");
  }
}

DOWNLINK_DECL void Listening::start(const std::shared_ptr<EndpointCore>& core) {
  if (listener_) throw std::logic_error("the server was started already");
  listener_ = std::make_shared<Listener>(core, options_);
  const auto& shard = core->shards.front();
  // Where the loop goes before it has run this, the socket goes too.
  const std::shared_ptr<Listener> starting(listener_.get(), [kept = listener_, shard](Listener*) {
    if (shard->gone()) kept->forget();
  });
  shard->dispatch([starting] { starting->start(); });
}

DOWNLINK_DECL void Listening::start(const std::shared_ptr<EndpointCore>& core, error_code& error) {
  error = {};
  try {
    start(core);
  } catch (const system_error& failure) {
    error = failure.code();
  }
}

DOWNLINK_DECL void Listening::stop(const EndpointCore& core) noexcept {
  if (!listener_ || core.shards.front()->gone()) return;
  // Without memory it goes with its shard.
  thrown_by([&] { core.shards.front()->dispatch([listener = listener_] { listener->stop(); }); });
}

DOWNLINK_DECL std::uint16_t Listening::port() const { return listener_ ? listener_->port() : options_.port; }

#endif

}  // namespace detail

/// An endpoint that listens at a port of its own. It runs in the application's loop and never runs, stops or blocks it.
/// With several `io_context`s, each is a shard, and connections are spread over them.
template <class... Ts>
class Server : public Endpoint<Ts...> {
 public:
  /// A server in one loop, which one thread or several run. Throws `std::invalid_argument` with a sentence for options
  /// that contradict each other. It does not listen before `start`.
  explicit Server(net::io_context& context, ServerOptions options = {})
      : Server(Contexts{std::ref(context)}, std::move(options)) {}
  /// The same in several loops.
  explicit Server(const Contexts& contexts, ServerOptions options = {})
      : Endpoint<Ts...>(contexts, options.endpoint), listening_(std::move(options)) {}

  /// Closes the port and everything that is open, and never blocks; see `async_drain` for a gentler end. Destroyed on
  /// the thread of its loop, it calls no handler any more.
  ~Server() { listening_.stop(*this->core()); }

  /// Begins to listen; from here on routes and handlers stay as they are. Throws `system_error` where the address and
  /// port can't be listened at, `std::invalid_argument` where the address is none, or where both TLS and the PROXY
  /// protocol are asked for.
  void start() { listening_.start(this->core()); }
  /// The same where the address and port can't be listened at is told in `error`, and may be tried again.
  void start(error_code& error) { listening_.start(this->core(), error); }

  /// The port that it listens at; known once it has started.
  std::uint16_t port() const { return listening_.port(); }
  /// The address that it listens at.
  const std::string& address() const { return listening_.address(); }

 private:
  detail::Listening listening_;
};

}  // namespace downlink
