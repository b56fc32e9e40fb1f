#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <downlink/asio.hpp>
#include <downlink/error.hpp>
#include <downlink/misuse.hpp>
#include <downlink/wire/forwarded.hpp>

namespace downlink::detail {

/// On whose behalf a proxy speaks.
struct Proxied {
  /// Who connected: the proxy, or whom it named by the PROXY protocol.
  std::string peer;
  /// Who sent the request.
  std::string client;
  /// Whether what `peer` says is believed.
  bool trusted = true;
  /// Whether `client` is a proxy on behalf of somebody who isn't known, rather than for itself.
  bool unknown = false;
};

/// Whom a request's headers name.
struct NamedClient {
  std::string address;
  /// Whether they name somebody who isn't known, since hidden or not believed; `address` is then a proxy's.
  bool unknown = false;

  bool operator==(const NamedClient&) const = default;
};

/// The networks whose hosts are believed when they name their clients. Immutable, so safe from any thread.
class TrustedProxies {
 public:
  /// Each is an address, or an address and the length of a prefix. Throws `std::invalid_argument` where one is neither.
  explicit TrustedProxies(const std::vector<std::string>& networks) {
    for (const auto& network : networks) networks_.push_back(parse(network));
  }

  bool empty() const { return networks_.empty(); }

  bool contains(std::string_view address) const {
    const auto bytes = to_bytes(address);
    return bytes && std::any_of(networks_.begin(), networks_.end(),
                                [&](const Network& network) { return network.contains(*bytes); });
  }

  /// Who sent a request that came from `peer`: as long as a host is trusted, whoever it names. A proxy that sets one of
  /// `Forwarded` and `X-Forwarded-For` passes the other on as the client made it up: where they name different clients,
  /// neither is believed.
  NamedClient client(const RequestHead& head, const std::string& peer) const {
    const auto named = wire::forwarded_for(head);
    auto by_forwarded = follow(named.forwarded, peer);
    auto by_x_forwarded_for = follow(named.x_forwarded_for, peer);
    if (named.forwarded.empty()) return by_x_forwarded_for;
    if (named.x_forwarded_for.empty()) return by_forwarded;
    return by_forwarded == by_x_forwarded_for ? by_forwarded : NamedClient{peer, true};
  }

 private:
  // All as IPv6; IPv4 addresses are the mapped ones (RFC 4291 §2.5.5.2).
  using Bytes = net::ip::address_v6::bytes_type;
  struct Network {
    Bytes bytes;
    std::size_t prefix;

    bool contains(const Bytes& address) const {
      for (std::size_t bit = 0; bit < prefix; bit += 8) {
        const auto differs = static_cast<unsigned>(bytes[bit / 8] ^ address[bit / 8]);
        if (differs >> (prefix - bit < 8 ? 8 - (prefix - bit) : 0) != 0) return false;
      }
      return true;
    }
  };

  static std::optional<Bytes> to_bytes(std::string_view text) {
    error_code error;
    const auto address = net::ip::make_address(std::string(text), error);
    if (error) return std::nullopt;
    return (address.is_v6() ? address.to_v6() : net::ip::make_address_v6(net::ip::v4_mapped, address.to_v4()))
        .to_bytes();
  }

  static Network parse(const std::string& text) {
    const auto slash = std::min(text.find('/'), text.size());
    const auto bytes = to_bytes(text.substr(0, slash));
    const std::size_t most = text.find(':') == text.npos ? 32 : 128;
    const auto prefix = slash < text.size() ? wire::parse_decimal(text.substr(slash + 1)) : most;
    if (!bytes || !prefix || *prefix > most) {
      throw_invalid_argument("EndpointOptions: trusted_proxies: '" + text +
                             "' is no address, nor one with the length of a prefix, like 10.0.0.0/8");
    }
    return {*bytes, static_cast<std::size_t>(*prefix) + (128 - most)};
  }

  NamedClient follow(const std::vector<std::string>& named, std::string peer) const {
    for (auto next = named.end(); next != named.begin() && contains(peer);) {
      error_code error;
      const auto address = net::ip::make_address(*--next, error);
      if (error) return {std::move(peer), true};  // hidden (RFC 7239 §6.3), or nonsense
      peer = address.to_string();
    }
    return {std::move(peer)};
  }

  std::vector<Network> networks_;
};

}  // namespace downlink::detail
