#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <downlink/session/raised.hpp>
#include <downlink/session/stream_session.hpp>
#include <downlink/wire/websocket_frame.hpp>
#include <downlink/wire/websocket_reader.hpp>

namespace downlink::detail {

/// A stream whose peer speaks too (WIRE §5; RFC 6455 §5 to §7).
class WebSocketSession final : public StreamSession {
 public:
  WebSocketSession(Carrier& carrier, const StreamOps& ops)
      : StreamSession(carrier, ops), last_heard_(carrier.shard().now()) {}

  /// The bytes are unmasked in place.
  bool receive(std::span<char> bytes) override {
    last_heard_ = shard().now();
    pinged_ = false;
    if (holds_input() || taking_) {
      // One read was under way when holding began, or a handler of an earlier message runs the loop.
      input().kept.append(bytes.data(), bytes.size());
    } else {
      read(bytes);
    }
    return true;
  }

  /// A handler is at work, or the peer does not take its replies.
  bool holds_input() const override { return paused_ || throttled_; }
  bool takes_input() const override { return StreamSession::takes_input() && !taking_; }

  void writable() override {
    if (carrier().peer_took()) {  // the bytes of a long message that a peer takes are signs of life
      last_heard_ = shard().now();
      pinged_ = false;
    }
    StreamSession::writable();
    if (!throttled_ || queued() > 0) return;
    throttled_ = false;
    if (!paused_) read_kept();
  }

  void pause() override { paused_ = true; }
  void unpause() override {
    if (!paused_) return;
    paused_ = false;
    throttled_ = queued() > reply_high_water;
    if (!throttled_) read_kept();
  }

 protected:
  void keep_alive(TimePoint now) override {
    const auto interval = options().heartbeat;
    if (pinged_ && ahead_ > 0) look_ahead(now);
    const auto quiet = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_heard_);
    // The wheel rounds up by at most an eighth of the interval: a little less than one counts as a whole one.
    if (quiet < interval - interval / 8) return shard().set(*this, until_next(interval - quiet));
    if (pinged_) return broken(EndReason::timed_out);
    pinged_ = !holds_input();  // a peer that is not read from can't be heard
    untaken_then_ = carrier().untaken();
    ahead_ = untaken_then_ == Carrier::not_known ? 0 : untaken_then_;
    shard().set(*this, until_next(interval));
    if (ending()) return;
    ops().heartbeat(control());
    flush_control();
  }

 private:
  using Kind = wire::WebSocketEvent::Kind;

  // Pongs to pings that have come together are sent together, but no more of them.
  static constexpr std::size_t most_unsent = std::size_t{16} << 10;
  // With more than this waiting for the peer, it is not read from.
  static constexpr std::size_t reply_high_water = std::size_t{64} << 10;

  /// What is needed only while the peer is speaking.
  struct Input {
    explicit Input(std::size_t max_message, bool deflate) : reader(max_message, deflate) {}

    wire::WebSocketReader reader;
    std::unique_ptr<wire::Inflater> inflater;
    std::string inflated;
    std::string kept;  // not yet looked at
  };
  Input& input() {
    if (!input_) input_ = std::make_unique<Input>(carrier().max_message(), ops().make_inflater != nullptr);
    return *input_;
  }

  // While the ping waits behind a long message, the bytes of it that the peer takes are signs of life as well: it can't
  // answer yet. What is sent meanwhile hides them, unless one looks often.
  void look_ahead(TimePoint now) {
    if (carrier().took_some(untaken_then_)) last_heard_ = now;
    ahead_ = std::min(ahead_, untaken_then_);
  }
  std::chrono::milliseconds until_next(std::chrono::milliseconds time) const {
    if (!pinged_ || ahead_ == 0) return time;
    return std::min(time, std::max(options().heartbeat / 8, std::chrono::milliseconds(1)));
  }

  void read_kept() {
    if (!input_ || taking_) return;
    std::string kept = std::exchange(input_->kept, {});
    read(kept);
  }

  void read(std::span<char> bytes) {
    {
      const Raised taking(taking_);
      take_events(bytes);
      while (!closed_ && !holds_input() && input_ && !input_->kept.empty()) {
        std::string kept = std::exchange(input_->kept, {});
        take_events(kept);
      }
    }
    if (closed_ || (input_ && input_->kept.empty() && !input_->reader.mid_message())) input_.reset();
  }

  void take_events(std::span<char> bytes) {
    const TimePoint end = shard().now() + Shard::slice;
    while (!closed_) {
      const auto event = input().reader.next(bytes);
      switch (event.kind) {
        case Kind::none:
          return flush_control();
        case Kind::message:
        case Kind::part:
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
      if (queued() > most_unsent) flush_control();
      throttled_ = queued() > reply_high_water;
      if (!holds_input() && !bytes.empty() && Shard::over(end)) carrier().rest_input();
      if (holds_input()) {
        input().kept.insert(0, bytes.data(), bytes.size());
        return flush_control();
      }
    }
  }

  // False where a compressed message turns out to be none.
  bool take(const wire::WebSocketEvent& message) {
    if (!message.compressed) {
      carrier().message_came(std::string(message.payload), message.binary);
      return true;
    }
    auto& [reader, inflater, inflated, kept] = input();
    if (!inflater) inflater = ops().make_inflater(carrier().max_message());
    const auto found = inflater->take(message, inflated);
    if (found.kind == Kind::part) return true;
    inflater.reset();
    if (found.kind == Kind::error) {
      fail(found);
      return false;
    }
    carrier().message_came(std::exchange(inflated, {}), found.binary);
    return true;
  }

  void pong(std::string_view payload) {
    if (ending()) return;
    if (queued() + payload.size() > options().max_peer_queue) flush_control();
    if (queued() + payload.size() > options().max_peer_queue) return end({EndReason::too_slow, "pongs are not taken"});
    wire::append_frame(control(), wire::Opcode::pong, payload);
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

  bool paused_ = false;
  bool throttled_ = false;
  bool pinged_ = false;
  bool closed_ = false;
  bool taking_ = false;
  std::uint32_t ahead_ = 0;         // of the ping, at most: bytes that the peer's system has yet to take
  std::uint32_t untaken_then_ = 0;  // in all, when it was last looked at
  std::unique_ptr<Input> input_;
  TimePoint last_heard_;
};

}  // namespace downlink::detail
