#include "hub/access.hpp"

#include <cstddef>
#include <string_view>
#include <utility>

#include <downlink/wire/ascii.hpp>

namespace hub {
namespace {

constexpr std::string_view publisher = "publisher";

// Takes the same time wherever the first difference is, so that no token can be guessed piece by piece.
bool equal(std::string_view shown, std::string_view token) {
  unsigned difference = shown.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    difference |= static_cast<unsigned char>(shown[i] ^ token[i % token.size()]);
  }
  return difference == 0;
}

// The credentials of `Authorization: Bearer` (RFC 6750 §2.1).
std::optional<std::string_view> bearer(const downlink::RequestHead& head) {
  constexpr std::string_view scheme = "Bearer ";
  const auto value = head.header("Authorization");
  if (!value || !downlink::wire::iequals(value->substr(0, scheme.size()), scheme)) return std::nullopt;
  return downlink::wire::trim(value->substr(scheme.size()));
}

// Either place may carry it: who reads with one token and publishes with another needs both.
bool shows(const downlink::RequestHead& head, const std::optional<std::string>& token) {
  if (!token) return true;
  const auto in_header = bearer(head);
  const auto in_query = head.query_value("access_token");
  return (in_header && equal(*in_header, *token)) || (in_query && equal(*in_query, *token));
}

}  // namespace

Access::Access(std::optional<std::string> subscribe_token, std::optional<std::string> publish_token)
    : subscribe_token_(std::move(subscribe_token)), publish_token_(std::move(publish_token)) {}

downlink::Decision Access::decide(const downlink::RequestHead& head) const {
  const bool publishes = shows(head, publish_token_);
  if (head.method() == "POST" ? publishes : shows(head, subscribe_token_)) {
    return publishes ? downlink::allow({}, {{std::string(publisher), {}}}) : downlink::allow();
  }
  const bool showed_some = bearer(head) || head.query_value("access_token");
  return downlink::unauthorized(showed_some ? R"(Bearer realm="channels", error="invalid_token")"
                                            : R"(Bearer realm="channels")");
}

bool Access::may_publish(const downlink::Identity& peer) { return peer.attribute(publisher).has_value(); }

}  // namespace hub
