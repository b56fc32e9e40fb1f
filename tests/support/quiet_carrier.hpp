#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <downlink/session/carrier.hpp>

namespace downlink::testing {

/// What carriers of the tests' have in common: nobody is at either end, so that what a test is not about does nothing.
struct QuietCarrier : detail::Carrier {
  using Carrier::Carrier;

  const StreamOptions& stream_options() const override { return options; }
  void await_writable() override {}
  void session_done(EndReason) override {}
  void message_came(std::string, bool) override {}
  void rest_input() override {}
  std::size_t max_message() const override { return 1; }
  void send_to_peer(Message, std::shared_ptr<detail::PeerState>) override {}
  void close_peer(bool) override {}

  StreamOptions options;

 protected:
  ~QuietCarrier() = default;
};

}  // namespace downlink::testing
