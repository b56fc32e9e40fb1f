#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <downlink/config.hpp>
#include <downlink/fwd.hpp>
#include <downlink/misuse.hpp>
#include <downlink/net/connection_ref.hpp>
#include <downlink/net/endpoint_core.hpp>
#include <downlink/net/outgoing.hpp>
#include <downlink/session/held_poll.hpp>
#include <downlink/session/holds.hpp>
#include <downlink/session/websocket_session.hpp>
#include <downlink/transport/websocket.hpp>
#include <downlink/wire/cursor.hpp>
#include <downlink/wire/request_parser.hpp>
#include <downlink/wire/response.hpp>

namespace downlink::detail {

/// One client's connection: it reads requests, finds out what serves them, and writes what answers them; or it carries
/// a stream. Plain code: the stream underneath is its derived class's. Lives on its shard.
class Connection : public Carrier, public ShardMember {
 public:
  /// `shard` is one of the endpoint's.
  Connection(std::shared_ptr<EndpointCore> core, Shard& shard) : Carrier(shard), core_(std::move(core)) {}
  virtual ~Connection() = default;

  /// How a transport of this type serves a request. An endpoint names only those of its own transports, so that a
  /// program has no code for the others.
  template <Transport T>
  static constexpr EndpointCore::Serve serve_with() {
    if constexpr (PollingTransport<T>) {
      return &Connection::poll;
    } else if constexpr (HttpStreamTransport<T>) {
      return &Connection::open_stream;
    } else {
      return &Connection::open_websocket;
    }
  }

  /// Before it starts: that it begins with a header of the PROXY protocol, if a trusted proxy made it.
  void expect_proxy_header() { awaits_proxy_header_ = true; }

  /// Begins to serve, with what was read of the connection before. From any thread.
  void start_on_shard(std::string bytes) {
    shard().dispatch(
        [self = ConnectionRef(this), bytes = std::move(bytes)]() mutable { self->start(std::move(bytes)); });
  }

  /// The same on the shard.
  void start(std::string bytes) {
    http_ = std::make_unique<Http>(*this, core_->options.limits);
    http_->unread = std::move(bytes);
    shard().counters().accepted.add();
    add_reference();  // dropped when it is closed
    shard().add(*this);
    core_->connections.fetch_add(1);
    guarded([this] { begin(); });
  }

  /// Ends what goes on, in an orderly way, after `delay` for a stream.
  void drain(std::chrono::milliseconds delay) override {
    switch (state_) {
      case State::head:
        // What has come is still answered: where it was read, the read's end says so, and else it is looked for then.
        if (rests_while_draining()) cancel_reading();
        break;
      case State::held:  // one at a time: there may be thousands
        later(State::held, [this] { http_->held->answer(); });
        break;
      case State::streaming:
        if (delay >= stream_time_left()) break;
        draining_ = true;
        wait_for(delay);
        break;
      default:
        break;
    }
  }

  void shut_down() override {
    silent_ = true;
    close(true);
  }
  void released() override { drop_reference(); }

 protected:
  /// The readable operation's handler; its memory is in the connection.
  struct Readable {
    ConnectionRef connection;
    using allocator_type = StorageAllocator<void, 88>;
    allocator_type get_allocator() const noexcept { return allocator_type(connection->read_storage_); }
    void operator()(error_code) {
      auto& shard = connection->shard();
      shard.enter([self = std::move(connection)] { self->guarded([&] { self->readable(); }); });
    }
  };
  /// The same where the bytes are read with it, which saves the system call that waiting for them costs.
  struct Received {
    ConnectionRef connection;
    OperationStorage<160>& storage;
    using allocator_type = StorageAllocator<void, 160>;
    allocator_type get_allocator() const noexcept { return allocator_type(storage); }
    void operator()(error_code error, std::size_t bytes) {
      auto& shard = connection->shard();
      shard.enter([self = std::move(connection), error, bytes] { self->guarded([&] { self->read(error, bytes); }); });
    }
  };
  /// For a held poll that has sent all that it may ahead: it is only watched.
  struct Broken {
    ConnectionRef connection;
    void operator()(error_code) {
      auto& shard = connection->shard();
      shard.enter([self = std::move(connection)] {
        self->watching_ = false;
        if (self->state_ == State::held) self->close(true);
      });
    }
  };
  struct Writable {
    ConnectionRef connection;
    void operator()(error_code) {
      auto& shard = connection->shard();
      shard.enter([self = std::move(connection)] { self->guarded([&] { self->now_writable(); }); });
    }
  };

  Counters& counters() const { return shard().counters(); }

  virtual IoResult read_some(net::mutable_buffer buffer) = 0;
  virtual void await(Readable handler) = 0;
  /// False where the stream has nothing but waiting.
  virtual bool read_into(net::mutable_buffer buffer, Received handler) = 0;
  /// Has what reads, or waits to, complete soon.
  virtual void cancel_reading() = 0;
  virtual void await(Writable handler) = 0;
  virtual void await(Broken handler) = 0;
  virtual void end_output() = 0;
  virtual void close_stream(bool reset) = 0;
  /// Whether the socket goes back to whoever handed it in; `give_back` does it.
  virtual bool is_lent() const = 0;
  virtual void give_back(std::string unread) = 0;
  virtual std::string remote_address() = 0;

 private:
  friend class ConnectionRef;
  friend class downlink::EndpointBase;

  enum class State : unsigned char {
    head,        // reading a request's head, or waiting for one
    deciding,    // the authorizer has it
    body,        // reading its body
    handling,    // a handler of the application's has it
    held,        // a poll waits for messages
    responding,  // writing an answer
    streaming,   // a session has the connection
    lingering,   // everything is said; reading what comes until the peer closes
    closed,
  };

  /// What only a connection between streams needs: gone while one is open.
  struct Http {
    /// The answer, while it waits for a peer that takes no bytes.
    struct AnswerHold final : Hold {
      explicit AnswerHold(Connection& who) : connection(who) {}
      void let_go(const EncodedUse& use) override {
        auto& answer = connection.http_->outgoing;
        if (!answer.pins(use)) return;
        answer.clear();  // at once: whether others have to go too is asked next
        connection.close(true);
      }
      Connection& connection;
    };

    Http(Connection& owner, const RequestLimits& limits) : parser(limits), hold(owner) {}

    wire::RequestParser parser;
    std::string unread;  // what was read and not yet looked at: the next requests
    RequestHead head;
    OriginVerdict origin = OriginVerdict::none;
    Router::Found found;
    Decision decision;
    std::optional<Channel> channel;
    std::optional<HeldPoll> held;
    StartRequest start;
    std::chrono::milliseconds wait{0};  // what the request was chosen to wait
    std::string applied_wait;           // for Preference-Applied
    Outgoing outgoing;
    AnswerHold hold;
    TimePoint last_taken{};  // of the answer, as far as is known
    std::uint32_t untaken = not_known;
    bool close_after = false;
    OperationStorage<160> read_storage;
    std::array<char, 512> read_buffer;
  };

  /// When the connection has waited long enough, for whatever its state waits for. Most streams need none.
  struct Timeout final : Deadline {
    explicit Timeout(Connection& who) : connection(who) {}
    void expired() override {
      connection.guarded([this] { connection.expired(); });
    }
    Connection& connection;
  };

  /// What a peer is held to; made only where the endpoint limits it.
  struct Limited {
    AddressKey address = no_address;
    RateMeter messages;
    RateMeter bytes;
  };

  // Life (connection.hpp).
  void add_reference() { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void begin() {
    meet_peer();
    enter_endpoint();
    const bool turned_away = admission_ == Admission::Verdict::turned_away;
    if (turned_away || shard().stopped() || core_->stopped.load()) return close(true);
    wait_for(core_->options.head_timeout);
    pump();
    await_readable();
  }

  // Whatever throws on the way, which is a lack of memory, closes the connection: nothing would go on with it.
  template <class Function>
  void guarded(Function&& function) {
    struct Guard {
      Connection& connection;
      bool done = false;
      ~Guard() {
        if (!done) thrown_by([&] { connection.close(true); });
      }
    } guard{*this};
    std::forward<Function>(function)();
    guard.done = true;
  }

  // Goes on in a later turn of the shard, if the connection's state is this one then.
  template <class Function>
  void later(State state, Function function) {
    shard().post([self = ConnectionRef(this), state, function] {
      if (self->state_ != state) return;
      self->shard().update_now();
      self->guarded(function);
    });
  }

  void wait_for(std::chrono::milliseconds wait) {
    if (!timeout_) timeout_ = std::make_unique<Timeout>(*this);
    shard().set(*timeout_, wait);
  }
  // How long until the stream's authorization, or an earlier drain, ends it.
  std::chrono::milliseconds stream_time_left() const {
    return timeout_ && timeout_->linked() ? shard().left(*timeout_) : std::chrono::milliseconds::max();
  }
  void stop_waiting() {
    if (timeout_) timeout_->unlink();
  }

  void expired() {
    switch (state_) {
      case State::head:
        if (pumping_) return wait_for(core_->options.idle_timeout);  // requests that have come wait for their turn
        if (!http_->parser.started()) return close(false);
        take_refused_head();
        return refuse(408, "the request's head did not come in time", true);
      case State::body:
        return refuse(408, "the request's body did not come in time", true);
      case State::streaming:
        if (draining_) {
          return session_->end({EndReason::shutdown, "the server is going away", retry()});
        }
        return session_->end({EndReason::authorization_expired, "the authorization has expired"});
      case State::responding:
        return wait_for_taker();
      default:
        return close(state_ != State::lingering);
    }
  }

  // What has begun before a drain is still answered; nothing new is waited for.
  bool rests_while_draining() const {
    return core_->draining.load(std::memory_order_relaxed) && state_ == State::head && http_->unread.empty() &&
           !http_->parser.started();
  }

  // It rests while draining, and nothing has come: but its last answer may still be on its way.
  void leave() {
    if (kept_alive_ && untaken() > 0) return linger();
    close(false);
  }

  std::chrono::milliseconds retry() const {
    const auto base = core_->options.stream.retry;
    return base + std::chrono::milliseconds(core_->jitter(static_cast<std::uint32_t>(base.count())));
  }

  // Half-closes and reads on for a bounded time, so that the last answer arrives (WIRE §8).
  void linger() {
    state_ = State::lingering;
    stray_ = 0;
    end_output();
    wait_for(core_->options.linger_timeout);
    await_readable();
  }

  void close(bool reset) {
    if (state_ == State::closed) return;
    state_ = State::closed;
    stop_waiting();
    if (http_) {
      http_->held.reset();
      http_->hold.unlink();
    }
    if (session_) session_ends({silent_ ? EndReason::shutdown : EndReason::peer_left});
    subscriber_left();
    if (session_) session_->abandon();
    left(EndReason::peer_left);
    cut_peer();
    close_stream(reset);
    leave_endpoint();
    if (is_lent()) give_back({});
    drop_later();
  }

  // Drops the reference that an open connection has to itself, when whoever called uses the connection no more.
  void drop_later() noexcept { shard().release_later(*this); }

  IoResult try_write(std::span<const net::const_buffer> buffers) override = 0;
  virtual IoResult try_write_once(net::const_buffer buffer) = 0;

  // Input and writability (connection_input.hpp).
  void await_readable();
  bool wants_input() const;
  void readable();
  void read(error_code error, std::size_t bytes);
  void take(const IoResult& result, char* bytes);
  void received(std::span<char> bytes);
  void input_ended();
  void now_writable();

  // Requests and answers (connection_requests.hpp).
  void pump();
  void rest();
  void take_refused_head();
  void head_came();
  void proceed();
  void body_came();
  void refuse(int status, std::string_view detail, bool close = false, std::string headers = {});
  void respond(int status, std::string_view headers, std::string body);
  void send_response();
  IoResult write_outgoing();
  void flush_response();
  void wait_for_taker();
  void response_done();
  std::string& begin_answer(int status);
  void end_head();

  // Proxies in front, and limits (connection_limits.hpp).
  void meet_peer();
  bool take_proxy_header();
  void believe_proxies();
  std::string client_address();
  bool trusts_peer() const { return proxied_ && proxied_->trusted; }
  void enter_endpoint();
  void leave_endpoint();
  void count_as_client();
  Negotiated negotiated();
  void refuse_over_limit(std::string_view detail);
  std::chrono::nanoseconds count_inbound(RateMeter Limited::*meter, std::size_t units, std::size_t rate);
  std::chrono::nanoseconds count_inbound_bytes(std::size_t bytes);
  std::chrono::nanoseconds count_inbound_message();
  std::chrono::nanoseconds count_inbound_post(std::size_t bytes);

  // Reading a channel (connection_reading.hpp).
  void read_channel();
  void poll(const TransportOps& transport);
  void answer_held(Sendable& sendable, bool gap);
  void answer_poll(const Range& range, bool gap, std::string* answer = nullptr);
  void open_stream(const TransportOps& transport);
  void open_websocket(const TransportOps& transport);
  void start_stream(std::string head, std::unique_ptr<StreamSession> session);
  void stream_opened();
  void left(EndReason reason);
  void subscriber_came();
  bool subscriber_left();

  const StreamOptions& stream_options() const override { return core_->options.stream; }
  std::size_t max_message() const override { return core_->options.max_message; }
  DOWNLINK_DECL void message_came(std::string data, bool binary) override;
  DOWNLINK_DECL void rest_input() override;
  void await_writable() override { await(Writable{ConnectionRef(this)}); }
  DOWNLINK_DECL void session_done(EndReason reason) override;
  DOWNLINK_DECL void session_broken(EndReason reason) override;
  DOWNLINK_DECL void session_ends(const Ending& ending) override;
  void transport_failed(const std::exception_ptr& error) override { handler_failed(error); }

  // The application's handlers (connection_calls.hpp).
  template <class Never = void>
  void authorize();
  void decided(const std::exception_ptr& error, Decision decision);
  template <class Never = void>
  void answer_fallback();
  void fallback_answered(const std::exception_ptr& error, HttpResponse response);
  template <class Never = void>
  void take_post();
  void post_taken(const std::exception_ptr& error, const Reply& reply);
  template <class Never = void>
  void take_message(std::string data, bool binary);
  void message_taken(const std::exception_ptr& error, const Reply& reply);
  void make_peer(TransportKind kind, bool takes_replies);
  void cut_peer();
  void handler_failed(const std::exception_ptr& error);
  void log(LogLevel level, LogEvent event, std::string_view text, int status = 0, std::optional<EndReason> reason = {});
  DOWNLINK_DECL void send_to_peer(Message message, std::shared_ptr<PeerState> state) override;
  DOWNLINK_DECL void close_peer(bool too_slow) override;

  std::shared_ptr<EndpointCore> core_;
  std::unique_ptr<Http> http_;
  std::unique_ptr<StreamSession> session_;
  std::shared_ptr<PeerState> peer_;
  const Route* route_ = nullptr;
  std::atomic<std::uint32_t> references_{0};
  State state_ = State::head;
  TransportKind kind_ = TransportKind::short_polling;  // what reads the channel
  bool counted_ = false;                               // as a subscriber over it
  bool reading_ = false;
  bool pumping_ = false;
  bool subscribed_ = false;
  bool in_handler_ = false;
  bool draining_ = false;
  bool silent_ = false;
  bool kept_alive_ = false;  // waits for the first byte of a further request
  bool awaits_proxy_header_ = false;
  Admission::Verdict admission_ = Admission::Verdict::turned_away;  // until it is counted
  bool watching_ = false;
  bool input_over_ = false;  // and what came before it is still being answered, or what waits sent
  bool opening_ = false;     // a stream: whom it calls may run the loop, and what then comes waits behind what had come
  std::size_t stray_ = 0;
  std::unique_ptr<Timeout> timeout_;
  std::unique_ptr<Limited> limited_;
  std::unique_ptr<Proxied> proxied_;  // where the other end is a trusted proxy
  OperationStorage<88> read_storage_;
};

inline ConnectionRef::ConnectionRef(Connection* connection) : connection_(connection) {
  if (connection_) connection_->add_reference();
}
inline ConnectionRef::~ConnectionRef() {
  if (connection_) connection_->drop_reference();
}

}  // namespace downlink::detail

#if DOWNLINK_DEFINITIONS
#include <downlink/net/connection_calls.hpp>
#include <downlink/net/connection_input.hpp>
#include <downlink/net/connection_limits.hpp>
#include <downlink/net/connection_reading.hpp>
#include <downlink/net/connection_requests.hpp>
#endif
