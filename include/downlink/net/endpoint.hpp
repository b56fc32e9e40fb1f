#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <downlink/completion.hpp>
#include <downlink/net/connection_over.hpp>
#include <downlink/net/stats.hpp>
#include <downlink/transport/polling.hpp>
#include <downlink/transport/sse.hpp>
#include <downlink/transport/websocket.hpp>

namespace downlink {

/// The loops that an endpoint serves in: one shard for each.
using Contexts = std::vector<std::reference_wrapper<net::io_context>>;

namespace detail {
struct EndpointAccess;
}

/// What endpoints and servers have in common, whatever their transports: routes, handlers, and taking over
/// connections. Set up by one thread before it serves; then `async_serve`, `adopt`, `async_drain`, `handles`, `stats`
/// and `connection_count` are safe from any thread.
class EndpointBase {
 public:
  EndpointBase(const EndpointBase&) = delete;
  EndpointBase& operator=(const EndpointBase&) = delete;

  /// Serves a channel under a pattern. Set routes and handlers up before the endpoint serves. Throws
  /// `std::invalid_argument` for a pattern that is none, or is there already.
  void route(std::string_view pattern, const Channel& channel, RouteOptions options = {});
  /// Serves a hub's channels under a pattern with one parameter, which names the channel: `/channels/{name}`.
  void route(std::string_view pattern, const Hub& hub, RouteOptions options = {});

  /// Takes what clients send to a route: `handler(Peer, Inbound)` returns nothing, a `Reply`, or an awaitable of
  /// either. It is called on the sender's shard; a peer's next message waits until it is done. What it throws ends
  /// that one session (WebSocket 1011, POST 500).
  template <class Handler>
  void on_message(std::string_view pattern, Handler handler) {
    core_->router.at(pattern).inbound = detail::InboundHandler(std::move(handler));
    core_->calls.take_post = &detail::Connection::take_post<>;
    core_->calls.take_message = &detail::Connection::take_message<>;
    core_->calls.make_peer = &detail::Connection::make_peer;
  }

  /// Decides who may do what: `authorizer(const RequestHead&)` or `authorizer(const RequestHead&, const
  /// RouteParameters&)` returns a `Decision` (see `allow`, `deny`, `unauthorized`) or an awaitable of one. Called for
  /// every request that a route serves, before its body is read. A head's path is as it came, and `/rooms/%61` is
  /// served as `/rooms/a` is: what may be done with one room is decided by the parameters, which are decoded.
  template <class Authorizer>
  void authorize(Authorizer authorizer) {
    core_->authorizer = detail::make_authorizer(std::move(authorizer));
    core_->calls.authorize = &detail::Connection::authorize<>;
  }

  /// Tells of streams that open, on the peer's shard. What it throws ends that stream (WebSocket 1011).
  void on_subscribe(std::function<void(Peer)> handler);
  /// Tells of their ends, and why. The peer has gone already; what it throws is told to `on_log` and counted.
  void on_unsubscribe(std::function<void(Peer, EndReason)> handler);

  /// Tells of what goes wrong and of draining: `log(const LogEntry&)`, called on the shard where it happens, so with
  /// several from several threads at once. What it throws is dropped. Clients can make it be called as often as they
  /// send requests: write to something that is bounded, and do not wait in it.
  void on_log(std::function<void(const LogEntry&)> log);

  /// Answers requests that no route matches: `handler(HttpRequest)` returns an `HttpResponse` or an awaitable of one.
  /// Where it takes a browser's preflight (2xx to its OPTIONS), what `CorsOptions` allow is added.
  template <class Handler>
  void fallback(Handler handler) {
    core_->fallback = detail::AsyncHandler<HttpResponse, HttpRequest>(std::move(handler));
    core_->calls.fall_back = &detail::Connection::answer_fallback<>;
  }

  /// Whether a route would serve this request. Moves nothing; safe from any thread.
  bool handles(const RequestHead& head) const;

  /// Connections that are open now.
  std::size_t connection_count() const { return core_->connections.load(); }

  /// What it does now and has done since it was made. Takes no lock; safe from any thread.
  ServerStats stats() const;

  /// Serves one connection that the application has accepted and whose next request's head it has read. `unread` is
  /// what it read beyond the head. Completes with `void(error_code, Socket, std::string)`: after a poll or POST on a
  /// connection that is kept alive the socket and unread bytes come back, after a stream the socket comes back closed.
  /// It keeps the limits of `SocketLimits`. The socket may be of any executor and any `io_context`; where it can't be
  /// moved: `errc::foreign_executor`. Where its new loop goes before it is served: `operation_aborted`; where the
  /// system takes no more sockets: its error, and the socket is closed.
  template <class Socket, class CompletionToken>
  auto async_serve(Socket socket, const RequestHead& head, std::string unread, CompletionToken&& token) {
    return net::async_initiate<CompletionToken, void(error_code, Socket, std::string)>(
        [this](auto handler, Socket given, std::string bytes) {
          const auto executor = given.get_executor();
          const auto handler_executor = net::get_associated_executor(handler, executor);
          const detail::Completion complete(std::move(handler), handler_executor);
          error_code error;
          if (living_shard()->gone()) error = net::error::operation_aborted;
          if (error) return complete(error, std::move(given), std::move(bytes));
          const auto protocol = given.local_endpoint(error).protocol();
          auto native = take_native(given, error);
          if (error) return complete(error, std::move(given), std::move(bytes));
          error = serve(native, protocol.family(), std::move(bytes),
                        [complete, executor, protocol](error_code failed, SocketStream stream, std::string rest) {
                          Socket back(executor);
                          if (stream.socket().is_open()) {
                            const auto handle = take_native(stream.socket(), failed);
                            if (!failed && back.assign(protocol, handle, failed)) detail::close_native(handle);
                          }
                          complete(failed, std::move(back), std::move(rest));
                        });
          if (error) complete(error, Socket(executor), std::string());
        },
        token, std::move(socket), head_text(head) + std::move(unread));
  }

  /// Takes over a connection for good: the socket, the head that was read, and what was read beyond it.
  template <class Socket>
  error_code adopt(Socket socket, const RequestHead& head, std::string unread = {}) {
    return adopt(std::move(socket), head_text(head) + std::move(unread));
  }
  /// The same with the raw bytes that were read, from the request line on.
  template <class Socket>
  requires requires(Socket& socket, error_code& error) { socket.release(error); }
  error_code adopt(Socket socket, std::string read) {
    error_code error;
    const int family = socket.local_endpoint(error).protocol().family();
    const auto native = take_native(socket, error);
    if (error) return error;
    return serve(native, family, std::move(read), {});
  }
  /// The same for a socket that is known by its native handle, such as another framework's. `family` is `AF_INET`,
  /// `AF_INET6` or `AF_UNIX`. The handle is the library's in any case; with an error it is closed.
  error_code adopt(SocketStream::Socket::native_handle_type native, int family, std::string read) {
    return serve(native, family, std::move(read), {});
  }

  /// Stops in an orderly way (WIRE §9): held polls are answered at once, streams are ended, spread over three
  /// quarters of `time`, and what is still open after all of it is reset. Completes with `void()`, after which no
  /// callback of the application's begins any more; coroutines of its that are still at work are cancelled, on their
  /// shard: one that works elsewhere for a while, as on a thread pool, awaits that from its shard, by `co_spawn`. A
  /// loop that nobody runs any more is not waited for.
  template <class CompletionToken>
  auto async_drain(std::chrono::milliseconds time, CompletionToken&& token) {
    return net::async_initiate<CompletionToken, void()>(
        [this, time](auto handler) {
          if (living_shard()->gone()) {
            // Only an executor of the handler's own is left to call it on.
            const auto executor = net::get_associated_executor(handler, net::system_executor{});
            return drain(time, detail::Completion(std::move(handler), executor));
          }
          const auto executor = net::get_associated_executor(handler, living_shard()->executor());
          drain(time, detail::Completion(std::move(handler), executor));
        },
        token);
  }

 protected:
  /// For `Endpoint`, which knows the transports.
  EndpointBase(const Contexts& contexts, EndpointOptions options,
               const std::vector<detail::EndpointCore::Offered>& transports);

  // Never blocks. On a shard's own thread nothing of the application's is called afterwards.
  ~EndpointBase();

  /// What its connections share, for `Server`.
  const std::shared_ptr<detail::EndpointCore>& core() const { return core_; }

 private:
  friend struct detail::EndpointAccess;
  struct Draining;
  const std::shared_ptr<detail::Shard>& living_shard() const;
  using GiveBack = detail::ConnectionOver<SocketStream>::GiveBack;

  template <class Socket>
  static typename Socket::native_handle_type take_native(Socket& socket, error_code& error) {
    if (error) return {};
    auto native = socket.release(error);
    if (error) error = errc::foreign_executor;
    return native;
  }

  // The parser reads what somebody else's has read once more: whatever way a request comes, the same rules hold.
  static std::string head_text(const RequestHead& head);

  error_code serve(SocketStream::Socket::native_handle_type native, int family, std::string read, GiveBack give_back);

  void drain(std::chrono::milliseconds time, std::function<void()> done);

  std::shared_ptr<detail::EndpointCore> core_;
};

namespace detail {

/// The way of the optional headers to what an endpoint's connections share.
struct EndpointAccess {
  static EndpointCore& core(EndpointBase& endpoint) { return *endpoint.core_; }
  static const std::shared_ptr<EndpointCore>& shared(EndpointBase& endpoint) { return endpoint.core_; }
};

}  // namespace detail

#if DOWNLINK_DEFINITIONS

DOWNLINK_DECL EndpointBase::EndpointBase(const Contexts& contexts, EndpointOptions options,
                                         const std::vector<detail::EndpointCore::Offered>& transports)
    : core_(std::make_shared<detail::EndpointCore>(std::move(options))) {
  if (contexts.empty()) throw std::invalid_argument("an endpoint needs at least one io_context");
  const auto& only = core_->options.only;
  for (const auto& transport : transports) {
    if (!only.empty() && std::find(only.begin(), only.end(), transport.ops->kind) == only.end()) continue;
    core_->transports.push_back(transport);
    core_->kinds.push_back(transport.ops->kind);
  }
  if (core_->kinds.empty()) throw std::invalid_argument("EndpointOptions: `only` leaves no transport");
  for (net::io_context& context : contexts) {
    core_->shards.push_back(net::use_service<detail::ShardService>(context).make(context, core_->options.one_thread));
  }
}

DOWNLINK_DECL EndpointBase::~EndpointBase() {
  core_->stopped.store(true);
  for (const auto& shard : core_->shards) shard->end();
}

DOWNLINK_DECL void EndpointBase::route(std::string_view pattern, const Channel& channel, RouteOptions options) {
  core_->router.add(pattern, channel, options);
}

DOWNLINK_DECL void EndpointBase::route(std::string_view pattern, const Hub& hub, RouteOptions options) {
  core_->router.add(pattern, hub, options);
}

DOWNLINK_DECL void EndpointBase::on_subscribe(std::function<void(Peer)> handler) {
  core_->on_subscribe = std::move(handler);
  core_->calls.make_peer = &detail::Connection::make_peer;
}

DOWNLINK_DECL void EndpointBase::on_unsubscribe(std::function<void(Peer, EndReason)> handler) {
  core_->on_unsubscribe = std::move(handler);
  core_->calls.make_peer = &detail::Connection::make_peer;
}

DOWNLINK_DECL void EndpointBase::on_log(std::function<void(const LogEntry&)> log) { core_->on_log = std::move(log); }

DOWNLINK_DECL bool EndpointBase::handles(const RequestHead& head) const {
  return core_->router.find(head.path()).route != nullptr;
}

DOWNLINK_DECL ServerStats EndpointBase::stats() const {
  ServerStats stats;
  stats.connections = core_->connections.load();
  for (const auto& shard : core_->shards) stats.add(shard->counters());
  return stats;
}

DOWNLINK_DECL std::string EndpointBase::head_text(const RequestHead& head) {
  std::string text;
  text.append(head.method()).append(" ").append(head.target());
  text += head.minor_version() == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  for (const auto& field : head.headers()) text.append(field.name).append(": ").append(field.value).append("\r\n");
  text += "\r\n";
  return text;
}

// The first whose loop is there; the first where there is none.
DOWNLINK_DECL const std::shared_ptr<detail::Shard>& EndpointBase::living_shard() const {
  for (const auto& shard : core_->shards) {
    if (!shard->gone()) return shard;
  }
  return core_->shards.front();
}

DOWNLINK_DECL error_code EndpointBase::serve(SocketStream::Socket::native_handle_type native, int family,
                                             std::string read, GiveBack give_back) {
  error_code error;
  const auto begin_on = [&](detail::Shard& shard) -> detail::Shard::Task {
    SocketStream::Socket socket(shard.executor());
    const net::generic::stream_protocol protocol(family, 0);
    if (detail::thrown_by([&] { socket.assign(protocol, native, error); })) error = net::error::no_memory;
    if (error) return {};
    SocketStream stream(std::move(socket));
    stream.configure(core_->options.socket);
    auto* over = new detail::ConnectionOver<SocketStream>(core_, shard, std::move(stream));
    const detail::ConnectionRef connection(over);
    if (give_back) over->lend(std::exchange(give_back, {}));
    return [connection, read = std::move(read)]() mutable { connection->start(std::move(read)); };
  };
  // Where no loop is being run, it waits until one is.
  const auto& shards = core_->shards;
  const std::size_t turn = core_->next_shard.fetch_add(1, std::memory_order_relaxed);
  bool begun = false;
  for (const bool even_resting : {false, true}) {
    for (std::size_t i = 0; i < shards.size() && !begun; ++i) {
      const auto& shard = shards[(turn + i) % shards.size()];
      begun = shard->post_made([&] { return begin_on(*shard); }, even_resting);
    }
  }
  if (!begun) error = net::error::operation_aborted;
  if (!error) return {};
  detail::close_native(native);
  return error;
}

// A drain under way: over once each shard has drained and let go of it, or with the loop where the handler is called by
// default.
struct EndpointBase::Draining {
  Draining(std::shared_ptr<detail::EndpointCore> of, std::function<void()> then)
      : core(std::move(of)), done(std::move(then)) {}
  Draining(const Draining&) = delete;
  Draining& operator=(const Draining&) = delete;
  ~Draining() { finish(); }

  void finish() {
    if (finished.exchange(true)) return;
    core->log({.event = LogEvent::drain_ended, .text = "drained"});
    core->stopped.store(true);
    std::exchange(done, {})();
  }

  std::shared_ptr<detail::EndpointCore> core;
  std::function<void()> done;
  std::atomic<bool> finished{false};
};

DOWNLINK_DECL void EndpointBase::drain(std::chrono::milliseconds time, std::function<void()> done) {
  const auto core = core_;  // whom the log tells may destroy this
  core->draining.store(true);
  auto draining = std::make_shared<Draining>(core, std::move(done));
  const auto home = living_shard();
  home->at_end([weak = std::weak_ptr(draining)] {
    if (const auto ending = weak.lock()) ending->finish();
  });
  home->dispatch([core] { core->log({.event = LogEvent::drain_began, .text = "draining"}); });
  // From here on the shards alone have it, so that it ends on one of them. One whose loop nobody runs any more has
  // nothing to end, and would never let go of it; where that are all of them, they are to be run again. Home is the
  // last, as it may be drained at once, while others' loops come to an end.
  const auto rests = [](const std::shared_ptr<detail::Shard>& shard) { return shard->rests(); };
  const bool all_rest = std::all_of(core->shards.begin(), core->shards.end(), rests);
  std::vector<std::shared_ptr<Draining>> parts;
  for (const auto& shard : core->shards) parts.push_back(rests(shard) && !all_rest ? nullptr : draining);
  draining.reset();
  const auto drain = [time](const std::shared_ptr<detail::Shard>& shard, std::shared_ptr<Draining>& part) {
    shard->dispatch([shard, time, part = std::move(part)] { shard->drain(time, [part] {}); });
  };
  std::shared_ptr<Draining>* last = nullptr;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (core->shards[i] == home) {
      last = &parts[i];
    } else {
      drain(core->shards[i], parts[i]);
    }
  }
  drain(home, *last);
}

#endif

/// Serves connections that the application accepts itself, over the transports of its type: the library's, or the
/// application's own. Set up before serving; then `async_serve` and `adopt` are safe from any thread.
template <class... Ts>
class Endpoint : public EndpointBase {
  static_assert(sizeof...(Ts) > 0, "an Endpoint or Server needs at least one transport, such as downlink::Sse");
  static_assert((Transport<Ts> && ...),
                "each type of an Endpoint or Server must be ShortPolling, LongPolling, Sse, WebSocket, or satisfy "
                "downlink::HttpStreamTransport: name, content_type, claims, encode, open, gap, heartbeat, end");

 public:
  /// An endpoint in one loop, which one thread or several run. Throws `std::invalid_argument` with a sentence for
  /// options that contradict each other.
  explicit Endpoint(net::io_context& context, EndpointOptions options = {})
      : Endpoint(Contexts{std::ref(context)}, std::move(options)) {}
  /// The same in several loops, over which connections are spread.
  explicit Endpoint(const Contexts& contexts, EndpointOptions options = {})
      : EndpointBase(contexts, std::move(options), transports()) {}

 private:
  static std::vector<detail::EndpointCore::Offered> transports() {
    if constexpr ((Transport<Ts> && ...)) {
      return {{&detail::transport_ops<Ts>, detail::Connection::serve_with<Ts>()}...};
    } else {
      return {};
    }
  }
};

}  // namespace downlink
