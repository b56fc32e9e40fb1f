#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <downlink/channel/message.hpp>
#include <downlink/error.hpp>
#include <downlink/transport/negotiation.hpp>

namespace downlink {

/// Who a connected peer is, as far as the server and its authorizer know. Immutable.
struct Identity {
  /// Whom the authorizer recognised; empty for nobody in particular.
  std::string subject = {};
  /// Whatever the authorizer attached.
  std::vector<std::pair<std::string, std::string>> attributes = {};
  /// The path that was asked for, as it came.
  std::string path = {};
  /// What the route's parameters stand for, such as the channel's name.
  std::vector<std::pair<std::string, std::string>> parameters = {};
  /// The address of the other end of the connection; empty where it has none.
  std::string remote_address = {};
  /// How the peer is connected. The sender of a POST counts as short polling.
  TransportKind transport = TransportKind::short_polling;

  /// The attribute of that name, or nothing.
  std::optional<std::string_view> attribute(std::string_view name) const { return find(attributes, name); }
  /// The route's parameter of that name, or nothing.
  std::optional<std::string_view> parameter(std::string_view name) const { return find(parameters, name); }

 private:
  static std::optional<std::string_view> find(const std::vector<std::pair<std::string, std::string>>& values,
                                              std::string_view name) {
    for (const auto& [key, value] : values) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
};

namespace detail {

/// What a peer's handle reaches while the connection lives. The link is cut under the mutex before the connection goes.
struct PeerState {
  explicit PeerState(Identity who, std::size_t queue_bound) : identity(std::move(who)), max_queue(queue_bound) {}

  class Link {
   public:
    /// Both go on on the connection's shard.
    virtual void send_to_peer(Message message, std::shared_ptr<PeerState> state) = 0;
    virtual void close_peer(bool too_slow) = 0;

   protected:
    ~Link() = default;
  };

  /// What a message that waits for the peer counts, in bytes.
  static std::size_t cost(const Message& message) {
    const std::size_t key = message.key ? message.key->size() : 0;
    return sizeof(Message) + message.event.size() + message.data.size() + key;
  }

  const Identity identity;
  const std::size_t max_queue;
  std::mutex mutex;
  Link* link = nullptr;
  bool takes_replies = false;
  bool closing = false;  // the link has been told to close
  std::atomic<std::size_t> waiting{0};
};

}  // namespace detail

/// A weak handle to one connected peer: a value, usable from any thread and for any time. Once the peer has gone,
/// `send` says so.
class Peer {
 public:
  /// Made by the library, for the handlers.
  explicit Peer(std::shared_ptr<detail::PeerState> state) : state_(std::move(state)) {}

  /// Who it is; there to read after the peer has gone, too, as long as this handle is.
  const Identity& identity() const { return state_->identity; }

  /// Whether it is still there; it may go at any moment after.
  bool connected() const {
    const std::lock_guard guard(state_->mutex);
    return state_->link != nullptr;
  }

  /// Sends this peer alone a message, between those of the channel; it carries no id and is not replayed. Errors:
  /// `peer_gone`; `no_reply_path` for a poll or the sender of a POST; `peer_queue_full`, and the peer is closed
  /// (1013); `bad_event_name`; `not_utf8`.
  error_code send(Message message) const {
    if (const auto bad = detail::check_message(message)) return bad;
    if (message.event == "message") message.event.clear();
    const std::lock_guard guard(state_->mutex);
    if (!state_->link) return errc::peer_gone;
    if (!state_->takes_replies) return errc::no_reply_path;
    struct Waiting {
      detail::PeerState& state;
      const std::size_t size;
      bool sent = false;
      ~Waiting() {  // without memory to send it, too
        if (!sent) state.waiting.fetch_sub(size);
      }
    } waiting{*state_, detail::PeerState::cost(message)};
    if (state_->waiting.fetch_add(waiting.size) + waiting.size > state_->max_queue) {
      tell_to_close(true);
      return errc::peer_queue_full;
    }
    state_->link->send_to_peer(std::move(message), state_);
    waiting.sent = true;
    return {};
  }

  /// Closes the peer's connection (WebSocket 1008). It may come back: whom to keep out, the authorizer refuses.
  void close() const {
    const std::lock_guard guard(state_->mutex);
    if (state_->link) tell_to_close(false);
  }

  /// Whether both are handles to the same peer.
  friend bool operator==(const Peer&, const Peer&) = default;

 private:
  // Once: what is posted waits as long as the loop rests.
  void tell_to_close(bool too_slow) const {
    if (state_->closing) return;
    state_->link->close_peer(too_slow);
    state_->closing = true;
  }

  std::shared_ptr<detail::PeerState> state_;
};

/// What a client sent: a WebSocket message, or the body of a POST.
struct Inbound {
  /// The payload. Text is UTF-8: of a WebSocket what is not closes it with 1007, of a POST it is answered with 400.
  std::string data = {};
  /// Whether it came as a binary frame, or as a POST of the type `application/octet-stream`; then it may be any bytes.
  bool binary = false;
  /// The query of the POST's target, as it came; empty for a WebSocket message.
  std::string query = {};
  /// Whether it came by POST, whose response has room for a reply.
  bool by_post = false;
};

/// What an inbound handler answers: nothing, a reply to the sender alone, or a refusal.
struct Reply {
  /// Nothing: a POST is answered with 202.
  Reply() = default;
  /// A reply: a WebSocket frame, or the body of the POST's 202. What `Peer::send` refuses as a message is the handler's
  /// failure over a WebSocket (1011).
  Reply(Message reply) : message(std::move(reply)) {}

  /// Refuses what was sent: a POST gets this status with a problem's detail, a WebSocket is closed with 1008.
  static Reply refuse(int status, std::string detail) {
    Reply reply;
    reply.refusal_status = status;
    reply.detail = std::move(detail);
    return reply;
  }

  /// The reply, if there is one.
  std::optional<Message> message = {};
  /// The content type of a POST's response.
  std::string content_type = "text/plain; charset=utf-8";
  /// The status of a refusal; 0 where it is none.
  int refusal_status = 0;
  /// Why it was refused, in a sentence for the client's developer.
  std::string detail = {};
};

}  // namespace downlink
