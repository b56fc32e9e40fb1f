#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <downlink/route/cors.hpp>
#include <downlink/session/stream_session.hpp>
#include <downlink/transport/negotiation.hpp>
#include <downlink/wire/request_parser.hpp>

namespace downlink {

/// How much one connection may send, in WebSocket messages and POSTs (WIRE §6); zero means without a bound. Past it a
/// WebSocket is closed with 1008, and a POST gets 429 with `Retry-After`.
struct InboundRate {
  /// Messages a second.
  std::size_t messages_per_second = 0;
  /// Bytes a second: those of a WebSocket as they come, control frames included, and of a POST's body.
  std::size_t bytes_per_second = 0;
  /// What of it may come at once: as much as the rates let through in this time, which has to be at least one message
  /// of `max_message` bytes and the 14 of a frame's head. What came while a handler was at work comes at once.
  std::chrono::milliseconds burst{1'000};
};

/// How an endpoint serves. Every wait and size has a bound.
struct EndpointOptions {
  /// Of the transports in the endpoint's type, offer only these; empty for all of them.
  std::vector<TransportKind> only = {};
  /// Heartbeats, write timeouts and reconnect hints of streams.
  StreamOptions stream = {};
  /// Which pages of other origins may read and write.
  CorsOptions cors = {};
  /// Sizes of a request's head.
  RequestLimits limits = {};
  /// The largest message that a client may send, by frame or POST, in bytes.
  std::size_t max_message = std::size_t{1} << 20;
  /// The longest that a poll is held, whatever it asks for.
  std::chrono::milliseconds max_wait{60'000};
  /// How long a poll is held where long polling is the only transport and none is asked for.
  std::chrono::milliseconds default_wait{25'000};
  /// From the accept, or the first byte of a later request, to the end of its head.
  std::chrono::milliseconds head_timeout{10'000};
  /// For a request's body.
  std::chrono::milliseconds body_timeout{30'000};
  /// How long a connection is kept alive without a request.
  std::chrono::milliseconds idle_timeout{75'000};
  /// How long, and for how many bytes, a connection that is being closed is read so that the last answer arrives: a
  /// client that is sending a large body or message reads it only then. What is read is dropped and takes no memory.
  std::chrono::milliseconds linger_timeout{2'000};
  std::size_t linger_bytes = std::size_t{32} << 20;
  /// Bytes that a client may send into a stream that only goes the other way before it is closed.
  std::size_t max_stray_bytes = std::size_t{64} << 10;
  /// Connections at once; zero means without a bound but the system's. Past it requests are answered with 503 (SSE
  /// with a stream that says when to come again), and past 1024 that are being answered so, connections are reset.
  std::size_t max_connections = 0;
  /// The same for one remote address, an IPv6 one with the rest of its /64. Local sockets are not counted. Leave it at
  /// zero, no bound, behind a proxy that is not one of `trusted_proxies`: its address is everybody's.
  std::size_t max_connections_per_address = 0;
  /// Addresses and networks, like `::1` and `10.0.0.0/8`, of the proxies in front. What they say is believed: of the
  /// client's address `Forwarded` or `X-Forwarded-For`, which then counts for limits, logs and peers, and of the host
  /// that the page was asked for `Forwarded` or `X-Forwarded-Host` (WIRE §8). None by default, as anybody can say it.
  std::vector<std::string> trusted_proxies = {};
  /// How much one connection may send.
  InboundRate inbound_rate = {};
  /// Limits that the kernel keeps for each connection.
  SocketLimits socket = {};
  /// Whether each `io_context` is run by one thread alone. Then no strand is needed and steady state allocates nothing.
  bool one_thread = false;
};

/// How a server listens, and how it serves.
struct ServerOptions {
  /// The address to listen at.
  std::string address = "127.0.0.1";
  /// The port; 0 takes any free one, which `port()` then tells.
  std::uint16_t port = 0;
  /// How many connections may wait to be accepted.
  int backlog = 4096;
  /// Connections accepted in a second, in bursts of a tenth of that; zero means as many as come. The others wait in the
  /// backlog, and past it the system turns them away.
  std::size_t max_accepts_per_second = 0;
  /// Whether other processes may listen at the same port too (`SO_REUSEPORT`).
  bool reuse_port = false;
  /// Whether connections from `endpoint.trusted_proxies`, and only they, begin with a header of the PROXY protocol,
  /// version 1 or 2, that names the client. Those without one are closed.
  bool proxy_protocol = false;
  /// How requests are served.
  EndpointOptions endpoint = {};
};

}  // namespace downlink
