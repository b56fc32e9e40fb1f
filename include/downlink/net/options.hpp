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
  /// How long, and for how many bytes, a closed connection is read so that the last answer arrives: a client that is
  /// sending a large body or message reads it only then. What is read is dropped and takes no memory.
  std::chrono::milliseconds linger_timeout{2'000};
  std::size_t linger_bytes = std::size_t{32} << 20;
  /// Bytes that a client may send into a stream that only goes the other way before it is closed.
  std::size_t max_stray_bytes = std::size_t{64} << 10;
  /// Connections at once; zero means without a bound but the system's. Past it requests are answered with 503.
  std::size_t max_connections = 0;
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
  /// Whether other processes may listen at the same port too (`SO_REUSEPORT`).
  bool reuse_port = false;
  /// How requests are served.
  EndpointOptions endpoint = {};
};

}  // namespace downlink
