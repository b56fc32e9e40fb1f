#pragma once

#include <downlink/transport/sse.hpp>
#include <downlink/transport/transport.hpp>
#include <downlink/wire/websocket_frame.hpp>

namespace downlink {

namespace detail {

/// A message as one frame that holds the payload alone.
struct WebSocketRaw {
  static void encode(std::string& out, const MessageView& message) {
    wire::append_frame(out, message.binary ? wire::Opcode::binary : wire::Opcode::text, message.data);
  }
  static void open(std::string&, const Opening&) {}
  static void gap(std::string&, const GapNotice&) {}
};

/// A message as one frame of the subprotocol `downlink.v1` (WIRE §5): id and event, a blank line, the payload.
struct WebSocketV1 {
  static void encode(std::string& out, const MessageView& message) {
    std::size_t size = 1 + message.data.size();
    if (!message.id.empty()) size += message.id.size() + 5;
    if (!message.event.empty()) size += message.event.size() + 8;
    wire::append_frame_header(out, message.binary ? wire::Opcode::binary : wire::Opcode::text, size);
    if (!message.id.empty()) out.append("id: ").append(message.id).append("\n");
    if (!message.event.empty()) out.append("event: ").append(message.event).append("\n");
    out.append("\n").append(message.data);
  }
  static void open(std::string& out, const Opening& opening) {
    encode(out, {.id = opening.cursor, .event = "downlink.open"});
  }
  static void gap(std::string& out, const GapNotice& notice) {
    encode(out, {.id = notice.cursor, .event = "downlink.gap", .data = gap_json(notice)});
  }
};

constexpr std::uint16_t close_code(EndReason reason) {
  switch (reason) {
    case EndReason::peer_left:
    case EndReason::channel_closed:
      return 1000;
    case EndReason::shutdown:
      return 1001;
    case EndReason::protocol_error:
      return 1002;
    case EndReason::not_utf8:
      return 1007;
    case EndReason::refused:
      return 1008;
    case EndReason::too_big:
      return 1009;
    case EndReason::internal_error:
      return 1011;
    case EndReason::too_slow:
    case EndReason::timed_out:
      return 1013;
    case EndReason::gap:
      return 4001;
    case EndReason::authorization_expired:
      return 4002;
  }
  return 1011;
}

inline void websocket_ping(std::string& out) { wire::append_frame(out, wire::Opcode::ping, {}); }

inline void websocket_end(std::string& out, const Ending& ending) {
  wire::append_close_frame(out, close_code(ending.reason), ending.text);
}

template <class F>
inline constexpr StreamOps websocket_ops{
    &form_ops<F>,  {}, std::is_same_v<F, WebSocketV1>, false, true, &F::open, &F::gap, &websocket_ping, &F::encode,
    &websocket_end};

}  // namespace detail

/// WebSocket (WIRE §5; RFC 6455), with the subprotocol `downlink.v1` where the client offers it.
struct WebSocket {
  /// The subprotocol that carries ids, event names and gap notices (WIRE §5). Without it a frame is a payload alone.
  static constexpr std::string_view subprotocol = "downlink.v1";

  /// Whether the client offers the subprotocol (RFC 6455 §11.3.4).
  static bool offers_subprotocol(const RequestHead& head) {
    bool offered = false;
    for (const auto& field : head.headers()) {
      if (!wire::iequals(field.name, "Sec-WebSocket-Protocol")) continue;
      wire::for_each_list_item(field.value, [&](std::string_view item) { offered = offered || item == subprotocol; });
    }
    return offered;
  }

  /// How messages are framed for this client. For the library.
  static const detail::StreamOps& stream(const RequestHead& head) {
    return offers_subprotocol(head) ? detail::websocket_ops<detail::WebSocketV1>
                                    : detail::websocket_ops<detail::WebSocketRaw>;
  }

  /// What the library asks of a transport, as it does of its own.
  static constexpr detail::TransportOps ops{
      "websocket", TransportKind::websocket, ResponseEnd::never, {}, {}, &detail::claims_nothing, &stream};
};

}  // namespace downlink
