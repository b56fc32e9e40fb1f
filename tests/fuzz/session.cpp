// Whole connections over all transports, driven by a script: what peers send and take, what is published, time, ends.
//
// The input's first two characters choose options (see `Session`); the rest are the bytes that the peer sends, but for
// commands, which begin with a backquote:
//   `.  they arrive, and the loop runs; so with every command      ``  a backquote
//   `mX…`  a masked frame with the payload …; X its opcode in hexadecimal, G to I for 0 to 2 without FIN, and with RSV1
//          S to U for 0 to 2, V to X for 0 to 2 without FIN
//   `zX…`  … compressed, as text (X 1) or binary (2), or in two frames with a ping between, as text (T) or binary (B)
//   `pX  a message is published   `wX  the peer takes up to so many bytes more ("`w0": none at all from now on)
//   `tX  time passes   `o  another connection   `bX  on with that connection   `e  half-close   `r  reset
//   `s  each peer is sent a reply   `k  each peer is closed   `d  drain   `x  the server goes   `c  the channel closes

#include <downlink/deflate.hpp>
#include <downlink/downlink.hpp>

#include <array>
#include <memory>
#include <stdexcept>

#include "fuzz/session_judge.hpp"
#include "support/deflate.hpp"

using namespace downlink;
using namespace downlink::fuzz;
using namespace std::chrono_literals;

std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept { return downlink::fuzz::script_time; }

namespace {

struct ScriptServer : Endpoint<WebSocket, Sse, LongPolling, ShortPolling> {
  using Base = Endpoint<WebSocket, Sse, LongPolling, ShortPolling>;
  using Base::Base;
  using Base::core;
};

class Session {
 public:
  Session(unsigned first, unsigned second)
      : one_thread_((first & 1u) != 0),
        awaits_((first & 8u) != 0),
        lent_((first & 16u) != 0),
        loop_first_((first & 32u) != 0),
        channel_(detail::ChannelAccess::handle(std::make_shared<detail::ChannelState>(channel_options(first), 1))),
        server_(std::make_unique<ScriptServer>(*io_, options(second))) {
    server_->route("/c", channel_, {.start = (second & 32u) != 0 ? DefaultStart::earliest : DefaultStart::latest});
    enable_deflate(*server_);
    handlers((second & 16u) == 0);
    core_ = server_->core();
    connect();
  }

  void play(Input& script) {
    while (!script.empty()) {
      send(script.until('`'));
      if (script.empty()) break;
      const auto command = static_cast<char>(script.byte());
      if (command == 'm') {
        send_frame(script.until('`'));
        continue;
      }
      if (command == 'z') {
        send_compressed(script.until('`'));
        continue;
      }
      if (command == '`') {
        send("`");
        continue;
      }
      act(command, script);
    }
    run();
  }

  void finish() {
    for (const auto& pipe : pipes_) pipe->window = std::size_t{1} << 30;
    run();
    for (const auto& pipe : pipes_) {
      Judge judge(*pipe, published_, core_->options.limits);
      judge.judge();
      judge.has_everything();
    }
    const auto epilogue = [this] {
      server_.reset();
      run();
    };
    if (!loop_first_) epilogue();
    peers_.clear();
    io_.reset();
    server_.reset();
    check(channel_.subscriber_count() == 0, "a subscriber is left");
    check(core_->connections.load() == 0, "a connection is left");
    for (const auto& pipe : pipes_) check(pipe->closed, "a stream was not closed");
  }

 private:
  ChannelOptions channel_options(unsigned choice) {
    ChannelOptions options{.lag_policy = (choice & 2u) != 0 ? LagPolicy::skip : LagPolicy::disconnect};
    if (choice & 4u) {
      options.history = {.max_messages = 3, .max_bytes = 400};
      options.max_lag = 100;
      options.max_encoded = 1000;
    }
    return options;
  }

  EndpointOptions options(unsigned choice) const {
    EndpointOptions options{
        .stream = {.heartbeat = 1s, .write_timeout = 3s, .retry = 100ms, .max_peer_queue = 1000},
        .cors = {.allowed_origins = {"https://a.example"}},
        .max_message = 2000,
        .max_wait = 5s,
        .default_wait = 2s,
        .head_timeout = 1s,
        .body_timeout = 1s,
        .idle_timeout = 3s,
        .linger_timeout = 1s,
        .linger_bytes = 2000,
        .max_stray_bytes = 500,
        .one_thread = one_thread_,
    };
    constexpr TransportKind kinds[] = {TransportKind::websocket, TransportKind::sse, TransportKind::long_polling,
                                       TransportKind::short_polling};
    for (unsigned i = 0; i < 4; ++i) {
      if (choice >> i & 1u) options.only.push_back(kinds[i]);
    }
    return options;
  }

  static net::awaitable<void> pause() {
    net::steady_timer timer(co_await net::this_coro::executor, 20ms);
    co_await timer.async_wait(net::use_awaitable);
  }

  static Decision decide(std::string_view wish) {
    if (wish == "no") return deny();
    if (wish == "401") return unauthorized();
    if (wish == "throw") throw std::runtime_error("authorizer");
    if (wish == "expire") return allow("a", {}, 500ms);
    return allow("a", {{"wish", std::string(wish)}});
  }
  Reply take(const Peer& from, const Inbound& message) {
    if (message.data == "throw") throw std::runtime_error("inbound");
    if (message.data == "refuse") return Reply::refuse(422, "refused");
    if (message.data == "close") from.close();
    if (message.data == "send") from.send({.data = "re:sent"});
    if (message.data == "publish") publish('1');
    if (message.data == "none" || message.data == "close") return {};
    return Message{.data = "re:" + message.data, .binary = message.binary};
  }

  void handlers(bool inbound) {
    const auto wish = [](const RequestHead& head) { return head.header("X-Wish").value_or(std::string_view{}); };
    if (awaits_) {
      server_->authorize([wish](const RequestHead& head) -> net::awaitable<Decision> {
        co_await pause();
        co_return decide(wish(head));
      });
      server_->fallback([](HttpRequest request) -> net::awaitable<HttpResponse> {
        co_await pause();
        if (request.head.path() == "/throw") throw std::runtime_error("fallback");
        co_return HttpResponse{.body = request.body};
      });
    } else {
      server_->authorize([wish](const RequestHead& head) { return decide(wish(head)); });
      server_->fallback([](HttpRequest request) {
        if (request.head.path() == "/throw") throw std::runtime_error("fallback");
        return HttpResponse{.body = request.body};
      });
    }
    if (inbound && awaits_) {
      server_->on_message("/c", [this](Peer from, Inbound message) -> net::awaitable<Reply> {
        co_await pause();
        co_return take(from, message);
      });
    } else if (inbound) {
      server_->on_message("/c", [this](Peer from, Inbound message) { return take(from, message); });
    }
    server_->on_subscribe([this](Peer peer) {
      ++subscribed_;
      peers_.push_back(peer);
      if (peer.identity().attribute("wish") == "throw-on-subscribe") throw std::runtime_error("on_subscribe");
    });
    server_->on_unsubscribe([this](Peer peer, EndReason) {
      check(subscribed_-- > 0, "it tells of an end without a beginning");
      if (peer.identity().attribute("wish") == "throw-on-unsubscribe") throw std::runtime_error("on_unsubscribe");
    });
  }

  Pipe& current() { return *pipes_[current_]; }

  void connect() {
    current_ = pipes_.size();
    pipes_.push_back(std::make_shared<Pipe>(*io_));
    if (server_) serve(core_, ScriptStream(pipes_.back()), {}, lent_);
    if (!server_) pipes_.back()->closed = true;
  }

  static void serve(const std::shared_ptr<detail::EndpointCore>& core, ScriptStream stream, std::string read,
                    bool lent) {
    using Carried = detail::ConnectionOver<ScriptStream>;
    Carried::GiveBack give_back;
    if (lent) {
      // Whoever lent the connection hands its next request in too.
      give_back = [weak = std::weak_ptr(core)](error_code, ScriptStream back, std::string unread) {
        const auto again = weak.lock();
        if (back.closed() || !again) return;
        back.release();
        if (again->stopped.load()) return back.close(true);
        serve(again, std::move(back), std::move(unread), true);
      };
    }
    const auto& shard = core->shards.front();
    auto* const carried = new Carried(core, *shard, std::move(stream));
    const detail::ConnectionRef connection(carried);
    if (give_back) carried->lend(std::move(give_back));
    connection->start_on_shard(std::move(read));
  }

  void run() {
    for (const auto& pipe : pipes_) pipe->wake();
    io_->restart();
    for (int handlers = 0; io_->poll_one() > 0; ++handlers) check(handlers < 20'000, "the loop spins");
  }

  void send(std::string_view bytes) {
    current().sent += bytes;
    current().input += bytes;
  }

  void send_frame(std::string_view payload) {
    if (payload.empty()) return;
    const auto kind = static_cast<unsigned char>(payload.front());
    testing::FrameShape shape;
    unsigned opcode = kind >= 'A' ? kind - 'A' + 10u : kind - '0';
    if (kind >= 'S' && kind <= 'X') {
      opcode = (kind - 'S') % 3u;
      shape = {.fin = kind < 'V', .rsv = 4};
    } else if (kind >= 'G') {
      opcode = kind - 'G';
      shape.fin = false;
    }
    send(testing::client_frame(opcode & 15u, payload.substr(1), shape));
  }

  void send_compressed(std::string_view payload) {
    if (payload.empty()) return;
    const char kind = payload.front();
    const unsigned opcode = kind == '2' || kind == 'B' ? testing::ws_binary : testing::ws_text;
    const auto bytes = testing::deflated(payload.substr(1));
    if (kind == '1' || kind == '2') return send(testing::deflated_frame(opcode, bytes));
    const auto half = bytes.size() / 2;
    send(testing::deflated_frame(opcode, bytes.substr(0, half), false));
    send(testing::client_frame(testing::ws_ping, "?"));
    send(testing::client_frame(testing::ws_continuation, bytes.substr(half)));
  }

  void publish(char kind) {
    const unsigned choice = static_cast<unsigned char>(kind);
    const auto number = std::to_string(published_.size() + 1);
    Message message{.data = "m" + number};
    switch (choice % 8) {
      case 1:
        break;
      case 2:
        message.data += std::string(choice * 4, 'x');
        break;
      case 3:
        message.data += "\r\nsecond\rthird\n\nfifth: \xC3\xA4\n";
        break;
      case 4:
        message.data += std::string("\0\xFF\x80", 3);
        message.binary = true;
        break;
      case 5:
        message.event = "e" + number;
        break;
      case 6:
        message.key = "k";
        break;
      case 7:
        message.time_to_live = 100ms;
        break;
      default:
        message.data += std::string(std::size_t{40} << (choice >> 3 & 7), 'y');
    }
    // Before it is sent for the first time.
    published_.push_back(message);
    const auto id = Publisher(channel_).publish(std::move(message));
    if (!id) {
      published_.pop_back();
      return check(channel_.closed() && id.error() == make_error_code(errc::channel_closed), "publishing failed");
    }
    check(id.value() == MessageId{1, published_.size()}, "another id");
  }

  void act(char command, Input& script) {
    constexpr std::chrono::milliseconds spans[] = {1ms, 10ms, 50ms, 200ms, 600ms, 1100ms, 3100ms, 6000ms};
    switch (command) {
      case 'p':
        publish(static_cast<char>(script.byte()));
        break;
      case 'w': {
        const unsigned choice = script.byte();
        current().window = choice == '0' ? 0 : current().window + (std::size_t{1} << (choice & 15u));
        break;
      }
      case 't': {
        run();
        const auto span = spans[script.byte() & 7u];
        for (int step = 0; step < 2; ++step) {
          pass_time(*io_, span / 2);
          run();
        }
        break;
      }
      case 'o':
        if (pipes_.size() < 6) connect();
        break;
      case 'b':
        current_ = script.byte() % pipes_.size();
        break;
      case 'e':
        run();
        current().input_ended = true;
        break;
      case 'r':
        current().broken = true;
        break;
      case 's':
        for (const auto& peer : peers_) peer.send({.data = "re:reply"});
        break;
      case 'k':
        for (const auto& peer : peers_) peer.close();
        break;
      case 'd':
        if (server_) server_->async_drain(1s, [] {});
        break;
      case 'x':
        server_.reset();
        break;
      case 'c':
        channel_.close();
        break;
      default:
        break;
    }
    run();
  }

  const bool one_thread_, awaits_, lent_, loop_first_;
  std::unique_ptr<net::io_context> io_ = std::make_unique<net::io_context>(1);
  Published published_;
  Channel channel_;
  std::vector<Peer> peers_;
  int subscribed_ = 0;
  std::vector<std::shared_ptr<Pipe>> pipes_;
  std::size_t current_ = 0;
  std::shared_ptr<detail::EndpointCore> core_;
  std::unique_ptr<ScriptServer> server_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return -1;
  Input script(data, size);
  script_time = std::chrono::steady_clock::time_point{1h};
  const unsigned first = script.byte();
  const unsigned second = script.byte();
  Session session(first, second);
  session.play(script);
  session.finish();
  return 0;
}
