#pragma once

#include <cstddef>
#include <cstdint>

#include <downlink/session/counters.hpp>

namespace downlink {

/// What a server or endpoint does now, and what it has done since it was made. A copy of plain numbers; those that
/// change at the same time may be of different moments.
struct ServerStats {
  /// Connections that are open now.
  std::uint64_t connections = 0;
  /// Connections that were accepted or taken over from the application.
  std::uint64_t accepted = 0;
  /// How often accepting failed and paused, as it does without descriptors.
  std::uint64_t accept_errors = 0;
  /// Requests that were refused because there were too many connections.
  std::uint64_t over_limit = 0;

  /// Requests whose head came, or whose head was malformed.
  std::uint64_t requests = 0;
  /// Streams and held polls that are open now, by transport.
  ByTransport<> subscribers = {};
  /// Streams that were opened and polls that were answered, by transport.
  ByTransport<> served = {};

  /// Messages of channels that were sent, once for each subscriber; those that were begun count.
  std::uint64_t messages_sent = 0;
  /// Bytes that the connections took, all of HTTP and WebSocket included.
  std::uint64_t bytes_sent = 0;
  /// Messages of clients that the application's handlers were given, by WebSocket and POST.
  std::uint64_t messages_received = 0;
  /// Bytes that came over the connections, without those that the application had read before it handed one over.
  std::uint64_t bytes_received = 0;

  /// Streams and polls that began with a cursor.
  std::uint64_t resumes = 0;
  /// How often a client was told that messages are lost to it, or its stream ended where there is no place to tell it.
  std::uint64_t gaps = 0;
  /// How often a stream that lagged too far went on at the newest message. Each is a gap too.
  std::uint64_t skips = 0;

  /// Streams that ended, by why. What was decided first counts: a stream that is too slow and then takes no last
  /// bytes was `too_slow`.
  ByReason<> ended = {};
  /// Requests that were refused, handshakes of WebSockets included, by the answer's status; also those that the
  /// application's handlers refuse or answer so.
  ByStatus<> refused = {};
  /// Connections that were reset because they took no bytes in time.
  std::uint64_t write_timeouts = 0;
  /// Handlers of the application's that threw.
  std::uint64_t handler_failures = 0;

  /// Adds what a shard has counted. For the library.
  void add(const detail::Counters& counted) {
    const auto sum = [](std::uint64_t& figure, const detail::Counter& counter) { figure += counter.value(); };
    const auto sum_each = [&](auto& figures, const auto& counters) {
      for (std::size_t i = 0; i < figures.figures.size(); ++i) sum(figures.figures[i], counters.figures[i]);
    };
    sum(accepted, counted.accepted);
    sum(accept_errors, counted.accept_errors);
    sum(over_limit, counted.over_limit);
    sum(requests, counted.requests);
    sum_each(subscribers, counted.subscribers);
    sum_each(served, counted.served);
    sum(messages_sent, counted.messages_sent);
    sum(bytes_sent, counted.bytes_sent);
    sum(messages_received, counted.messages_received);
    sum(bytes_received, counted.bytes_received);
    sum(resumes, counted.resumes);
    sum(gaps, counted.gaps);
    sum(skips, counted.skips);
    sum_each(ended, counted.ended);
    sum_each(refused, counted.refused);
    sum(write_timeouts, counted.write_timeouts);
    sum(handler_failures, counted.handler_failures);
  }
};

}  // namespace downlink
