#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include <downlink/session/stream_session.hpp>
#include <downlink/wire/websocket_frame.hpp>
#include <downlink/wire/websocket_reader.hpp>

namespace downlink::detail {

/// A stream whose peer speaks too (WIRE §5; RFC 6455 §5 to §7).
class WebSocketSession final : public StreamSession {
 public:
  /// Is called with each message; to take no further one for now, it calls `pause`.
  using OnMessage = void (*)(Carrier& carrier, std::string data, bool binary);

  WebSocketSession(Carrier& carrier, Shard& shard, const StreamOps& ops, const StreamOptions& options,
                   OnMessage on_message, std::size_t max_message)
      : StreamSession(carrier, shard, ops, options),
        on_message_(on_message),
        reader_(max_message, ops.inflate != nullptr) {}

  /// The bytes are unmasked in place.
  bool receive(std::span<char> bytes) override {
    heard();
    pinged_ = false;
    if (holds_input()) {
      kept_.append(bytes.data(), bytes.size());  // one read was under way when holding began
    } else {
      read(bytes);
    }
    return true;
  }

  /// A handler is at work, or the peer does not take its replies.
  bool holds_input() const override { return paused_ || throttled_; }

  void writable() override {
    StreamSession::writable();
    if (!throttled_ || queued() > 0) return;
    throttled_ = false;
    if (paused_) return;
    std::string kept = std::exchange(kept_, {});
    read(kept);
  }

  void pause() override { paused_ = true; }
  void unpause() override {
    if (!paused_) return;
    paused_ = false;
    throttled_ = queued() > reply_high_water;
    if (throttled_) return;
    std::string kept = std::exchange(kept_, {});
    read(kept);
  }

 protected:
  void keep_alive(TimePoint now) override {
    // While the peer takes a long message, the bytes it takes are signs of life.
    const TimePoint life = blocked() ? std::max(last_heard(), last_sent()) : last_heard();
    const auto interval = options().heartbeat;
    const auto quiet = std::chrono::duration_cast<std::chrono::milliseconds>(now - life);
    // The wheel rounds up by at most an eighth of the interval: a little less than one counts as a whole one.
    if (quiet < interval - interval / 8) return shard().set(*this, interval - quiet);
    if (pinged_) return broken(EndReason::timed_out);
    pinged_ = !holds_input();  // a peer that is not read from can't be heard
    shard().set(*this, interval);
    if (ending()) return;
    ops().heartbeat(control());
    flush_control();
  }

 private:
  using Kind = wire::WebSocketEvent::Kind;

  // With more than this waiting for the peer, it is not read from.
  static constexpr std::size_t reply_high_water = std::size_t{64} << 10;

  void read(std::span<char> bytes) {
    while (!closed_) {
      const auto event = reader_.next(bytes);
      switch (event.kind) {
        case Kind::none:
          return;
        case Kind::message:
          if (!ending() && !take(event)) return;
          break;
        case Kind::ping:
          pong(event.payload);
          break;
        case Kind::pong:
          break;
        case Kind::close:
          return answer_close(event);
        case Kind::error:
          return fail(event);
      }
      throttled_ = queued() > reply_high_water;
      if (holds_input()) {
        kept_.append(bytes.data(), bytes.size());
        return;
      }
    }
  }

  // False where a compressed message turns out to be none.
  bool take(const wire::WebSocketEvent& message) {
    std::string data;
    if (!message.compressed) {
      data = message.payload;
    } else if (const auto found = ops().inflate(message, reader_.max_message(), data); found.kind == Kind::error) {
      fail(found);
      return false;
    }
    on_message_(carrier(), std::move(data), message.binary);
    return true;
  }

  void pong(std::string_view payload) {
    if (ending()) return;
    if (queued() + payload.size() > options().max_peer_queue) return end({EndReason::too_slow, "pongs are not taken"});
    wire::append_frame(control(), wire::Opcode::pong, payload);
    flush_control();
  }

  void answer_close(const wire::WebSocketEvent& event) {
    closed_ = true;
    if (ending()) return;
    wire::append_close_frame(control(), event.code, {});
    finish({EndReason::peer_left});
  }

  void fail(const wire::WebSocketEvent& event) {
    closed_ = true;
    end({event.code == 1007   ? EndReason::not_utf8
         : event.code == 1009 ? EndReason::too_big
                              : EndReason::protocol_error,
         event.reason});
  }

  OnMessage on_message_;
  wire::WebSocketReader reader_;
  std::string kept_;
  bool paused_ = false;
  bool throttled_ = false;
  bool pinged_ = false;
  bool closed_ = false;
};

}  // namespace downlink::detail
