#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "chaos/reader.hpp"

namespace downlink::chaos {

/// Clients of all transports that come and go as badly as clients do, on one thread.
class Swarm {
 public:
  static constexpr std::array<const char*, 2> paths{"/drop", "/skip"};

  Swarm(std::uint16_t port, std::size_t count, std::uint32_t seed);
  ~Swarm();

  /// Until `stop` is set.
  void rage(const std::atomic<bool>& stop);
  /// Has every client read on to the channel's head, and go.
  void catch_up(const std::array<std::uint64_t, 2>& heads);

  const Seen& seen(std::size_t channel) const { return seen_[channel]; }
  std::uint64_t connections() const { return connections_; }

 private:
  class Client;

  void turn();

  int epoll_;
  std::array<Seen, 2> seen_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::uint64_t connections_ = 0;
  std::uint16_t port_;
};

}  // namespace downlink::chaos
