#pragma once

#include <optional>
#include <string>

#include <downlink/route/authorizer.hpp>
#include <downlink/session/peer.hpp>
#include <downlink/wire/request_head.hpp>

namespace hub {

/// Who may read channels, and who may publish to them (WIRE §10). A token is shown as `Authorization: Bearer T` or as
/// `?access_token=T`. Immutable, so safe from any thread.
class Access {
 public:
  /// Without a token everybody may.
  Access(std::optional<std::string> subscribe_token, std::optional<std::string> publish_token);

  /// Decides about a request for a channel: a POST publishes, any other reads. Whether a reader may publish too is kept
  /// with its peer, since a WebSocket shows its tokens once.
  downlink::Decision decide(const downlink::RequestHead& head) const;

  /// Whether a peer that was let in may publish.
  static bool may_publish(const downlink::Identity& peer);

 private:
  std::optional<std::string> subscribe_token_;
  std::optional<std::string> publish_token_;
};

}  // namespace hub
