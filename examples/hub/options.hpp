#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hub {

/// A transport that channels may offer.
enum class TransportName { websocket, sse, long_polling, short_polling };

/// What happens to a subscriber that lags too far behind (WIRE §7).
enum class LagPolicy {
  /// It is disconnected, and resumes by its cursor.
  disconnect,
  /// It jumps to the newest message after a notice of the gap.
  skip,
};

/// The hub's options (WIRE §10). Sizes are in bytes.
struct Options {
  /// Where to listen; port 0 is any free one.
  std::uint16_t port = 8080;
  std::string address = "127.0.0.1";
  std::size_t threads = 1;

  /// What channels offer: at least one, each once.
  std::vector<TransportName> transports = {TransportName::websocket, TransportName::sse, TransportName::long_polling,
                                           TransportName::short_polling};

  /// What a channel retains, in messages, in bytes and, where given, by age.
  std::size_t history = 1000;
  std::size_t history_bytes = 67'108'864;
  std::optional<std::chrono::milliseconds> history_age;

  std::chrono::milliseconds heartbeat{30'000};
  /// The longest a long poll is held.
  std::chrono::milliseconds max_wait{60'000};

  /// Origins as browsers send them (lower case, without a default port), or `*` for any.
  std::vector<std::string> allow_origins;
  /// Addresses and networks of proxies that are believed when they name their clients.
  std::vector<std::string> trusted_proxies;
  /// Whether their connections begin with a header of the PROXY protocol.
  bool proxy_protocol = false;
  /// What a subscriber must show, if given.
  std::optional<std::string> token;
  /// What a publisher must show, if given. `parse_options` gives it the value of `token` unless it has its own.
  std::optional<std::string> publish_token;

  std::size_t max_message = 1'048'576;
  /// How far a subscriber may lag behind; the newest message is delivered even where it alone is larger.
  std::size_t max_lag = 1'048'576;
  LagPolicy lag_policy = LagPolicy::disconnect;
  /// Connections at one time; 0 is as many as come.
  std::size_t max_connections = 0;
  /// Whether WebSockets compress for clients that offer it; only where the hub was built with zlib.
  bool deflate = false;
  /// The server's certificate and its key, as PEM files: both or neither; only where the hub was built with OpenSSL.
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;

  std::chrono::milliseconds head_timeout{10'000};
  std::chrono::milliseconds body_timeout{30'000};
  /// How long a connection is kept alive without a request.
  std::chrono::milliseconds idle_timeout{75'000};
  /// How long a channel without subscribers and messages is kept.
  std::chrono::milliseconds channel_idle{60'000};
  std::chrono::milliseconds drain_timeout{5'000};

  /// Whether this machine's figures are published on the channel `telemetry`.
  bool telemetry = true;
};

/// Reads the command line into `options`. Returns the exit code when the program must end here: 0 after `--help`, whose
/// text goes to stdout, or 2 for bad options, of which one sentence on stderr tells; `options` is then as it was.
std::optional<int> parse_options(int argc, const char* const* argv, Options& options);

}  // namespace hub
