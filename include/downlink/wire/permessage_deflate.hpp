#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink::wire {

/// What a client and the server agree on for permessage-deflate (RFC 7692 §7.1). Neither side takes its window over
/// from message to message (§7.1.1 lets a server answer so unasked).
struct DeflateAgreement {
  /// The window that is enough to inflate what the server sends, in bits: 8 to 15 (§7.1.2.1).
  unsigned server_window_bits = 15;
  /// Whether the client asked for that size, so that the answer names it.
  bool names_server_window = false;
};

namespace detail {

/// Reads an element of `Sec-WebSocket-Extensions` from its front (RFC 6455 §9.1); whitespace between its parts is
/// passed over.
class ExtensionReader {
 public:
  explicit ExtensionReader(std::string_view element) noexcept : rest_(trim(element)) {}

  bool done() const noexcept { return rest_.empty(); }

  bool take(char c) noexcept {
    if (!rest_.starts_with(c)) return false;
    rest_ = trim(rest_.substr(1));
    return true;
  }

  /// The text up to the next delimiter.
  std::string_view token() noexcept {
    const auto token = rest_.substr(0, rest_.find_first_of("\"(),/:;<=>?@[\\]{} \t"));
    rest_ = trim(rest_.substr(token.size()));
    return token;
  }

  /// A token, or what a quoted-string holds; empty for one that is left open.
  std::string value() {
    if (!rest_.starts_with('"')) return std::string{token()};
    std::string value;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        rest_ = trim(rest_.substr(i + 1));
        return value;
      }
      if (rest_[i] == '\\' && ++i == rest_.size()) break;
      value += rest_[i];
    }
    rest_ = {};
    return {};
  }

 private:
  std::string_view rest_;
};

/// The size of a window as a parameter says it (RFC 7692 §7.1.2): 8 to 15 without leading zeros, or 0 for anything
/// else.
inline unsigned parse_window_bits(std::string_view value) noexcept {
  if (value == "8") return 8;
  if (value == "9") return 9;
  if (value.size() == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5') {
    return 10 + static_cast<unsigned>(value[1] - '0');
  }
  return 0;
}

}  // namespace detail

/// What one element of `Sec-WebSocket-Extensions` comes to; nothing where it is another extension, or an offer with a
/// parameter that is unknown, repeated or invalid (RFC 7692 §7.1).
inline std::optional<DeflateAgreement> accept_deflate_offer(std::string_view element) {
  enum Parameter : std::size_t { server_no_context, client_no_context, server_bits, client_bits };
  static constexpr std::array<std::string_view, 4> names{"server_no_context_takeover", "client_no_context_takeover",
                                                         "server_max_window_bits", "client_max_window_bits"};
  detail::ExtensionReader reader{element};
  if (reader.token() != "permessage-deflate") return std::nullopt;
  DeflateAgreement agreement;
  std::array<bool, names.size()> seen{};
  while (!reader.done()) {
    if (!reader.take(';')) return std::nullopt;
    const auto found = std::find(names.begin(), names.end(), reader.token());
    if (found == names.end()) return std::nullopt;
    const auto which = static_cast<std::size_t>(found - names.begin());
    if (std::exchange(seen[which], true)) return std::nullopt;

    const bool has_value = reader.take('=');
    const unsigned bits = has_value ? detail::parse_window_bits(reader.value()) : 0;
    if (has_value != (bits != 0)) return std::nullopt;
    if (which == server_bits) {
      if (!has_value) return std::nullopt;
      agreement = {bits, true};
    } else if (which != client_bits && has_value) {
      return std::nullopt;
    }
  }
  return agreement;
}

/// The first acceptable one of all that a request offers (RFC 7692 §5: they are alternatives, the client's favourite
/// first); nothing where there is none. Never a reason to fail the handshake.
inline std::optional<DeflateAgreement> accept_deflate_offer(const RequestHead& head) {
  std::optional<DeflateAgreement> accepted;
  for (const auto& field : head.headers()) {
    if (!iequals(field.name, "Sec-WebSocket-Extensions")) continue;
    for_each_list_item(field.value, [&](std::string_view element) {
      if (!accepted) accepted = accept_deflate_offer(element);
    });
  }
  return accepted;
}

/// The value of `Sec-WebSocket-Extensions` that answers an accepted offer. The client's window is never limited: what
/// is offered as `client_max_window_bits` needs no answer (RFC 7692 §7.1.2.2), as any window can be inflated.
inline std::string deflate_answer(const DeflateAgreement& agreement) {
  std::string answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  if (agreement.names_server_window) {
    answer += "; server_max_window_bits=" + std::to_string(agreement.server_window_bits);
  }
  return answer;
}

}  // namespace downlink::wire
