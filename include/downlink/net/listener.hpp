#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <downlink/net/connection_over.hpp>

namespace downlink::detail {

/// Accepts TCP connections and gives them to the endpoint's shards in turn. Lives on the first shard.
class Listener final : public ShardMember, public Deadline, public std::enable_shared_from_this<Listener> {
 public:
  Listener(std::shared_ptr<EndpointCore> core, const ServerOptions& options)
      : core_(std::move(core)),
        shard_(core_->shards.front()),
        acceptor_(std::in_place, shard_->executor()),
        accepts_per_second_(options.max_accepts_per_second),
        proxy_protocol_(options.proxy_protocol) {
    if (proxy_protocol_ && core_->connect) {
      throw std::invalid_argument(
          "ServerOptions: proxy_protocol and enable_tls exclude each other: the header stands before the TLS");
    }
    error_code error;
    const auto address = net::ip::make_address(options.address, error);
    if (error) throw std::invalid_argument("\"" + options.address + "\" is no IP address to listen at");
    const net::ip::tcp::endpoint endpoint(address, options.port);
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(net::socket_base::reuse_address(true), error);
#if defined(SO_REUSEPORT)
    using ReusePort = net::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
    if (!error && options.reuse_port) acceptor_->set_option(ReusePort(true), error);
#endif
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) SocketStream::limit(*acceptor_, core_->options.socket);
    if (!error) acceptor_->listen(options.backlog, error);
    if (error) {
      const std::string host = address.is_v6() ? '[' + options.address + ']' : options.address;
      throw system_error(error, "can't listen at " + host + ":" + std::to_string(options.port));
    }
    port_ = acceptor_->local_endpoint().port();
  }

  std::uint16_t port() const { return port_; }

  /// On the shard.
  void start() {
    if (!acceptor_ || shard_->stopped()) return;
    shard_->heeds_alarms(weak_from_this());
    shard_->add(*this);
    accept();
  }

  /// On the shard: accepts no more.
  void stop() {
    if (!acceptor_) return;
    error_code ignored;
    acceptor_->close(ignored);
    acceptor_.reset();
    static_cast<Deadline*>(this)->unlink();
    shard_->remove(*this);
  }

  /// The loop is going, and may never have run `start`.
  void forget() { acceptor_.reset(); }

  void shut_down() override { stop(); }
  void drain(std::chrono::milliseconds) override { stop(); }
  void expired() override { accept(); }
  void alarmed() override {
    if (missed_.exchange(false) && acceptor_) failed(net::error::no_memory);
  }

 private:
  using Accepted = net::basic_stream_socket<net::ip::tcp, Shard::Executor>;

  // Without descriptors or memory, accepting pauses instead of spinning.
  static constexpr std::chrono::milliseconds pause{100};
  // How often at most a paced listener is woken.
  static constexpr std::chrono::milliseconds pace{10};

  // Whether the next one may be accepted now; if not, the deadline is set to when it may.
  bool may_accept() {
    if (accepts_per_second_ == 0) return true;
    const auto one = std::chrono::milliseconds(1 + 1000 / accepts_per_second_);
    const auto burst = std::max(std::chrono::milliseconds(100), one);
    const auto wait = meter_.take(shard_->update_now(), 1, accepts_per_second_, burst);
    if (wait.count() == 0) return true;
    shard_->set(*this, std::max(std::chrono::ceil<std::chrono::milliseconds>(wait), pace));
    return false;
  }

  // The handler of an accept.
  struct Took {
    std::shared_ptr<Listener> listener;

    explicit Took(std::shared_ptr<Listener> self) : listener(std::move(self)) {}
    Took(Took&&) noexcept = default;
    // Without memory to watch the new socket, Asio lets go of the handler in the loop without calling it.
    ~Took() {
      if (listener && listener->shard_->executor().running_in_this_thread()) {
        go_on([](Listener& self) { self.failed(net::error::no_memory); });
      }
    }
    void operator()(error_code error, Accepted socket) {
      std::shared_ptr<Accepted> kept;  // tasks are copyable
      if (!error && thrown_by([&] { kept = std::make_shared<Accepted>(std::move(socket)); })) {
        error = net::error::no_memory;
      }
      go_on([error, kept](Listener& self) { self.accepted(error, kept.get()); });
    }

   private:
    template <class Function>
    void go_on(Function&& function) {
      const auto self = std::move(listener);
      if (!thrown_by([&] { self->shard_->enter([self, function] { function(*self); }); })) return;
      self->missed_.store(true);
      self->shard_->alarm();
    }
  };

  // Always into this loop: one that is to have the connection may be destroyed while nobody comes.
  void accept() {
    if (!acceptor_ || !may_accept()) return;
    // Where there is no memory for it, the handler says so.
    thrown_by([this] { acceptor_->async_accept(shard_->executor(), Took(shared_from_this())); });
  }

  void failed(error_code error) {
    shard_->counters().accept_errors.add();
    if (acceptor_) shard_->set(*this, pause);
    if (core_->logs()) core_->log({LogLevel::error, LogEvent::accept_failed, error.message(), {}, {}, 0, {}, error});
  }

  // Gives the socket to the shard whose turn it is, or to this one where that one's loop has gone or rests: there it
  // would wait without a deadline.
  void connect(Accepted socket) {
    const auto turn = core_->next_shard.fetch_add(1, std::memory_order_relaxed);
    const auto& target = core_->shards[turn % core_->shards.size()];
    const auto hand_over = [&]() -> Shard::Task {
      error_code error;
      const auto protocol = socket.local_endpoint(error).protocol();
      const auto native = socket.release(error);
      if (error) return {};
      SocketStream::Socket moved(target->executor());
      const auto failure = thrown_by([&] { moved.assign(protocol, native, error); });
      if (failure || error) {  // without memory, or the system watches no more sockets for that loop
        shard_->counters().accept_errors.add();
        close_native(native);
        return {};
      }
      return [connection = connection_over(*target, std::move(moved))] { connection->start({}); };
    };
    if (target != shard_ && target->post_made(hand_over)) return;
    connection_over(*shard_, SocketStream::Socket(std::move(socket)))->start({});
  }

  ConnectionRef connection_over(Shard& shard, SocketStream::Socket socket) {
    SocketStream stream(std::move(socket));
    stream.configure_accepted(core_->options.socket);
    const ConnectionRef connection(core_->connect ? core_->connect(core_, shard, std::move(stream))
                                                  : new ConnectionOver<SocketStream>(core_, shard, std::move(stream)));
    if (proxy_protocol_) connection->expect_proxy_header();
    return connection;
  }

  void accepted(error_code error, Accepted* socket) {
    if (!acceptor_ || error == net::error::operation_aborted) return;
    if (error && error != net::error::connection_aborted) return failed(error);
    if (!error) {
      try {
        connect(std::move(*socket));
      } catch (...) {  // without memory
        shard_->counters().accept_errors.add();
        return shard_->set(*this, pause);
      }
    }
    accept();
  }

  std::shared_ptr<EndpointCore> core_;
  std::shared_ptr<Shard> shard_;
  std::optional<Shard::Acceptor> acceptor_;
  const std::size_t accepts_per_second_;
  const bool proxy_protocol_;
  RateMeter meter_;
  std::atomic<bool> missed_{false};  // there was no memory to hand the shard what an accept came to
  std::uint16_t port_ = 0;
};

}  // namespace downlink::detail
