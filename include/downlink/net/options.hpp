#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <downlink/route/cors.hpp>
#include <downlink/session/carrier.hpp>
#include <downlink/transport/negotiation.hpp>
#include <downlink/wire/request_parser.hpp>

namespace downlink {

/// How much one connection may send, in WebSocket messages and POSTs (WIRE §6); zero means without a bound. Past it a
/// WebSocket is closed with 1008, and a POST gets 429 with `Retry-After`.
struct InboundRate {
  /// Messages a second. By default zero, without a bound: what a client may send is the application's to know.
  std::size_t messages_per_second = 0;
  /// Bytes a second: those of a WebSocket as they come, control frames included, and of a POST's body. By default zero,
  /// without a bound, for the same reason.
  std::size_t bytes_per_second = 0;
  /// What of it may come at once: as much as the rates let through in this time, which has to be at least one message
  /// of `max_message` bytes and the 14 of a frame's head. What came while a handler was at work comes at once. By
  /// default a second, so that a rate means what it says of every second.
  std::chrono::milliseconds burst{1'000};
};

/// How an endpoint serves. Every wait and size has a bound, but where zero stands for none.
struct EndpointOptions {
  /// Of the transports in the endpoint's type, offer only these. By default empty, all of them; it is there for
  /// programs that leave the choice to their configuration.
  std::vector<TransportKind> only = {};
  /// Heartbeats, write timeouts and reconnect hints of streams; each has its default.
  StreamOptions stream = {};
  /// Which pages of other origins may read and write. By default none: a page that a user happens to visit must not act
  /// in his name.
  CorsOptions cors = {};
  /// Sizes of a request's head; each has its default. `max_body` is ignored: `max_message` takes its place.
  RequestLimits limits = {};
  /// The largest message that a client may send, by frame or POST, in bytes. By default 1 MiB: text and small pictures
  /// pass, and a connection's memory stays a megabyte.
  std::size_t max_message = std::size_t{1} << 20;
  /// The longest that a poll is held, whatever it asks for. By default 55 s: many proxies give up on an answer after a
  /// minute.
  std::chrono::milliseconds max_wait{55'000};
  /// How long a poll is held that asks for no wait, where long polling is the only transport or the only one left for
  /// the request. By default 25 s, below the 30 s after which the most impatient of clients and proxies give up (RFC
  /// 6202 §5.5).
  std::chrono::milliseconds default_wait{25'000};
  /// From the accept, or the first byte of a later request, to the end of its head; a TLS handshake counts towards it.
  /// By default 10 s: a few round trips of the slowest network, and whoever trickles bytes keeps a place no longer.
  std::chrono::milliseconds head_timeout{10'000};
  /// For a request's body, from its first byte to its last. By default 30 s: a body of `max_message` at 35 KB a second.
  std::chrono::milliseconds body_timeout{30'000};
  /// How long a connection is kept alive without a request. By default 75 s: longer than the 60 s for which proxies
  /// keep one to reuse it, so that it is they who close it and no request crosses the close.
  std::chrono::milliseconds idle_timeout{75'000};
  /// How long a connection that is being closed is read so that the last answer arrives: a client that is sending a
  /// large body or message reads it only then. What is read is dropped and takes no memory. By default 2 s: some round
  /// trips.
  std::chrono::milliseconds linger_timeout{2'000};
  /// For how many bytes it is read at most. By default 32 MiB, which take a fast client less than those 2 s.
  std::size_t linger_bytes = std::size_t{32} << 20;
  /// Bytes that a client may send into a stream that only goes the other way before it is closed. By default 64 KiB: a
  /// pipelined request or two are passed over, a flood is not read for ever.
  std::size_t max_stray_bytes = std::size_t{64} << 10;
  /// Connections at once. Past it requests are answered with 503 (SSE with a stream that says when to come again), and
  /// past 1024 that are being answered so, connections are reset. By default zero, without a bound but the system's: an
  /// idle subscriber takes less than a kilobyte, and what a machine bears is not known here.
  std::size_t max_connections = 0;
  /// The same for one remote address, an IPv6 one with the rest of its /64. Local sockets are not counted. By default
  /// zero, without a bound, as it has to be behind a proxy that is not one of `trusted_proxies`: its address is
  /// everybody's. Clients that a trusted proxy hides, or names in two ways, count together as its address; what it asks
  /// for itself is not counted.
  std::size_t max_connections_per_address = 0;
  /// Addresses and networks, like `::1` and `10.0.0.0/8`, of the proxies in front. What they say is believed: of the
  /// client's address `Forwarded` or `X-Forwarded-For`, which then counts for limits, logs and peers, and of the host
  /// that the page was asked for `Forwarded` or `X-Forwarded-Host` (WIRE §8). None by default, as anybody can say it.
  std::vector<std::string> trusted_proxies = {};
  /// How much one connection may send. By default without a bound.
  InboundRate inbound_rate = {};
  /// Limits that the kernel keeps for each connection; each has its default.
  SocketLimits socket = {};
  /// Whether each `io_context` is run by one thread alone. Then no strand is needed and steady state allocates nothing.
  /// By default not, as nothing goes wrong then whoever runs the loop.
  bool one_thread = false;
};

/// How a server listens, and how it serves.
struct ServerOptions {
  /// The IP address to listen at: `0.0.0.0` or `::` for all. By default this machine's own alone, 127.0.0.1: to be
  /// reached from elsewhere is something to decide.
  std::string address = "127.0.0.1";
  /// The port. By default 0, which takes any free one, which `port()` then tells: never that of another program.
  std::uint16_t port = 0;
  /// How many connections may wait to be accepted. By default 4096, which is the most that Linux allows unless told
  /// otherwise (`net.core.somaxconn`): after a restart all clients come at once.
  int backlog = 4096;
  /// Connections accepted in a second, in bursts of a tenth of that. The others wait in the backlog, and past it the
  /// system turns them away. By default zero, as many as come: which rate leaves time for the rest depends on the rest.
  std::size_t max_accepts_per_second = 0;
  /// Whether other processes may listen at the same port too (`SO_REUSEPORT`), which share what comes. By default not:
  /// a second start of the same program is to be told that the port is taken.
  bool reuse_port = false;
  /// Whether connections from `endpoint.trusted_proxies`, and only they, begin with a header of the PROXY protocol,
  /// version 1 or 2, that names the client. Those without one are closed. Not together with `enable_tls`. By default
  /// not: a server without such a proxy would serve nobody.
  bool proxy_protocol = false;
  /// How requests are served; each option has its default.
  EndpointOptions endpoint = {};
};

}  // namespace downlink
