#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

#include <downlink/net/endpoint.hpp>
#include <downlink/net/listener.hpp>

namespace downlink {

/// An endpoint that listens at a port of its own. It runs in the application's loop and never runs, stops or blocks it.
/// With several `io_context`s, each is a shard, and connections are spread over them.
template <class... Ts>
class Server : public Endpoint<Ts...> {
 public:
  explicit Server(net::io_context& context, ServerOptions options = {})
      : Server(Contexts{std::ref(context)}, std::move(options)) {}
  explicit Server(const Contexts& contexts, ServerOptions options = {})
      : Endpoint<Ts...>(contexts, options.endpoint), options_(std::move(options)) {
    if (options_.backlog <= 0) throw std::invalid_argument("ServerOptions: backlog must be above zero");
    if (options_.proxy_protocol && options_.endpoint.trusted_proxies.empty()) {
      throw std::invalid_argument(
          "ServerOptions: proxy_protocol needs endpoint.trusted_proxies, from whom it is taken");
    }
  }

  ~Server() {
    if (!listener_ || this->core()->shards.front()->gone()) return;
    this->core()->shards.front()->dispatch([listener = listener_] { listener->stop(); });
  }

  /// Begins to listen; from here on routes and handlers stay as they are. Throws `system_error` where the address and
  /// port can't be listened at, `std::invalid_argument` where the address is none.
  void start() {
    if (listener_) throw std::logic_error("the server was started already");
    listener_ = std::make_shared<detail::Listener>(this->core(), options_);
    this->core()->shards.front()->dispatch([listener = listener_] { listener->start(); });
  }

  /// The port that it listens at; known once it has started.
  std::uint16_t port() const { return listener_ ? listener_->port() : options_.port; }
  /// The address that it listens at.
  const std::string& address() const { return options_.address; }

 private:
  ServerOptions options_;
  std::shared_ptr<detail::Listener> listener_;
};

}  // namespace downlink
