#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <downlink/channel/encoded_log.hpp>
#include <downlink/transport/negotiation.hpp>
#include <downlink/wire/http_chunk.hpp>
#include <downlink/wire/request_head.hpp>

namespace downlink {

namespace wire {
class Inflater;
}

/// What a stream begins with.
struct Opening {
  /// The cursor to resume from before any message has come; empty when a gap notice follows.
  std::string_view cursor = {};
  /// How long a client that lost the stream should wait before it comes again.
  std::chrono::milliseconds retry{0};
};

/// Tells a subscriber that messages before the next one are lost to it (WIRE §1).
struct GapNotice {
  /// The cursor handed in, or the last id sent.
  std::string_view requested = {};
  /// The cursor that delivery goes on from.
  std::string_view cursor = {};
  /// The id of the message that follows, or the cursor where none is retained.
  std::string_view earliest = {};
};

/// Why a stream ends, and whether its client should come back: with its cursor, unless said otherwise. In parentheses
/// the close code that tells a WebSocket; an event stream ends without a word. The browser client comes back after each
/// but 4002, after that one too where its token is a function, and later or over another transport where it is sent
/// away at once.
enum class EndReason : std::uint8_t {
  /// The peer closed (its own code is answered) or went away, or the connection broke: it comes back if it wants more.
  peer_left,
  /// The channel was closed (1000): nothing more comes, so coming back is of use only where the application makes
  /// another channel in its place, as a hub does in time.
  channel_closed,
  /// The server is going away (1001): come back, after the time that an event stream was told.
  shutdown,
  /// The peer broke the protocol (1002): come back over another transport at most, as the same would end the same.
  protocol_error,
  /// The peer's text was not UTF-8 (1007): come back, and do not send the same again.
  not_utf8,
  /// The application or its limits refused what the peer did, or `Peer::close` was called (1008): come back, and do not
  /// do the same again, or not as fast.
  refused,
  /// The peer's message was too big (1009): come back, and do not send the same again.
  too_big,
  /// A handler of the application failed (1011): come back.
  internal_error,
  /// The peer lagged too far or did not take its replies (1013, or a reset where it does not take that): come back.
  too_slow,
  /// There is a gap, and no place in the transport to tell of it (4001): come back without a cursor.
  gap,
  /// The authorization expired (4002): come back with a new one.
  authorization_expired,
  /// Nothing was heard of the peer, or it took no bytes, for too long, and the connection was reset: come back.
  timed_out,
};

/// The name of a reason, such as `too_slow`.
constexpr std::string_view name_of(EndReason reason) noexcept {
  switch (reason) {
    case EndReason::peer_left:
      return "peer_left";
    case EndReason::channel_closed:
      return "channel_closed";
    case EndReason::shutdown:
      return "shutdown";
    case EndReason::protocol_error:
      return "protocol_error";
    case EndReason::not_utf8:
      return "not_utf8";
    case EndReason::refused:
      return "refused";
    case EndReason::too_big:
      return "too_big";
    case EndReason::internal_error:
      return "internal_error";
    case EndReason::too_slow:
      return "too_slow";
    case EndReason::gap:
      return "gap";
    case EndReason::authorization_expired:
      return "authorization_expired";
    case EndReason::timed_out:
      return "timed_out";
  }
  return "unknown";
}

/// What a stream ends with.
struct Ending {
  /// Why it ends.
  EndReason reason = EndReason::shutdown;
  /// A few words for the peer's developer; empty for none.
  std::string_view text = {};
  /// How long to wait before reconnecting; zero says nothing.
  std::chrono::milliseconds retry{0};
};

/// When the response of a transport ends.
enum class ResponseEnd : std::uint8_t {
  /// With what is there now (short polling).
  at_once,
  /// With the first messages, or when the wait is over (long polling).
  with_first_messages,
  /// Not before one side ends it (SSE, WebSocket).
  never,
};

/// A transport policy that answers one request with JSON (WIRE §3).
template <class T>
concept PollingTransport = requires {
  { T::name } -> std::convertible_to<std::string_view>;
  { T::kind } -> std::convertible_to<TransportKind>;
  requires T::response_end != ResponseEnd::never;
};

/// A transport policy that streams an HTTP response; applications may write their own. All of it is stateless:
/// - `name`, for statistics; `content_type` of the response; `claims(head)`: whether it serves this request;
/// - `encode(out, message)`: the wire form of a message, the same for every subscriber;
/// - `open(out, opening)`: the first bytes; `gap(out, notice)`; `heartbeat(out)`: bytes that a client ignores;
/// - `end(out, ending)`: the last bytes.
/// What these last five throw is logged, and ends that one stream (`internal_error`).
/// The library does the rest: the head, chunks, cursors, resume, pace, limits.
template <class T>
concept HttpStreamTransport = WireForm<T> && requires(std::string& out, const RequestHead& head, const Opening& opening,
                                                      const GapNotice& notice, const Ending& ending) {
  { T::name } -> std::convertible_to<std::string_view>;
  { T::content_type } -> std::convertible_to<std::string_view>;
  { T::claims(head) } -> std::same_as<bool>;
  T::open(out, opening);
  T::gap(out, notice);
  T::heartbeat(out);
  T::end(out, ending);
};

namespace detail {

/// A streaming response's operations, whatever its type: sessions are plain code.
struct StreamOps {
  Form form;
  ReadLimits limits;
  /// Whether gaps can be told in the stream; if not, one ends it.
  bool tells_gaps;
  /// Whether the body ends with a last chunk.
  bool chunked;
  /// Whether the connection speaks WebSocket after the head.
  bool websocket;
  void (*open)(std::string& out, const Opening& opening);
  void (*gap)(std::string& out, const GapNotice& notice);
  void (*heartbeat)(std::string& out);
  void (*reply)(std::string& out, const MessageView& message);
  void (*end)(std::string& out, const Ending& ending);
  /// Where permessage-deflate was negotiated: what inflates the next message of the peer's.
  std::unique_ptr<wire::Inflater> (*make_inflater)(std::size_t max_message) = nullptr;
};

/// A transport's operations, whatever its type.
struct TransportOps {
  std::string_view name;
  TransportKind kind;
  ResponseEnd response_end;
  std::string_view content_type;
  /// Further header lines of a streaming response, each with its CRLF.
  std::string_view headers;
  bool (*claims)(const RequestHead& head);
  /// The stream's operations for this request; null for polling.
  const StreamOps& (*stream)(const RequestHead& head);
};

/// The wire form of a chunked body: each message is a chunk of its own, so that any run of messages is whole chunks.
template <WireForm F>
struct Chunked {
  static void encode(std::string& out, const MessageView& message) {
    wire::append_chunk(out, [&](std::string& content) { F::encode(content, message); });
  }
};

template <HttpStreamTransport T, bool chunks>
struct HttpStream {
  template <class Append>
  static void framed(std::string& out, Append&& append) {
    if constexpr (chunks) {
      wire::append_chunk(out, std::forward<Append>(append));
    } else {
      append(out);
    }
  }
  static void open(std::string& out, const Opening& opening) {
    framed(out, [&](std::string& content) { T::open(content, opening); });
  }
  static void gap(std::string& out, const GapNotice& notice) {
    framed(out, [&](std::string& content) { T::gap(content, notice); });
  }
  static void heartbeat(std::string& out) {
    framed(out, [](std::string& content) { T::heartbeat(content); });
  }
  static void reply(std::string& out, const MessageView& message) {
    framed(out, [&](std::string& content) { T::encode(content, message); });
  }
  static void end(std::string& out, const Ending& ending) {
    framed(out, [&](std::string& content) { T::end(content, ending); });
    if constexpr (chunks) out += wire::last_chunk;
  }

  static constexpr Form form() {
    if constexpr (chunks) {
      return &form_ops<Chunked<T>>;
    } else {
      return &form_ops<T>;
    }
  }
  static constexpr StreamOps ops{form(), {}, true, chunks, false, &open, &gap, &heartbeat, &reply, &end};
};

template <HttpStreamTransport T>
const StreamOps& http_stream_ops(const RequestHead& head) {
  return head.minor_version() == 0 ? HttpStream<T, false>::ops : HttpStream<T, true>::ops;
}

template <class T>
constexpr TransportKind kind_of() {
  if constexpr (requires { T::kind; }) {
    return T::kind;
  } else {
    return TransportKind::custom;
  }
}

template <class T>
constexpr std::string_view headers_of() {
  if constexpr (requires { T::headers; }) {
    return T::headers;
  } else {
    return "Cache-Control: no-cache\r\n";
  }
}

inline bool claims_nothing(const RequestHead&) { return false; }

}  // namespace detail

/// What an endpoint can offer: one of the library's `ShortPolling`, `LongPolling`, `Sse` and `WebSocket`, or a type of
/// the application's own that satisfies `HttpStreamTransport`.
template <class T>
concept Transport = PollingTransport<T> || HttpStreamTransport<T> || requires {
  T::ops;
};

namespace detail {

template <Transport T>
constexpr TransportOps make_transport_ops() {
  if constexpr (requires { T::ops; }) {
    return T::ops;
  } else if constexpr (HttpStreamTransport<T>) {
    return {T::name,         kind_of<T>(), ResponseEnd::never, T::content_type,
            headers_of<T>(), &T::claims,   &http_stream_ops<T>};
  } else {
    return {T::name, T::kind, T::response_end, "application/json", {}, &claims_nothing, nullptr};
  }
}

template <Transport T>
inline constexpr TransportOps transport_ops = make_transport_ops<T>();

}  // namespace detail
}  // namespace downlink
