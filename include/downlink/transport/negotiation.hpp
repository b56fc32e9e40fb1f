#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink {

/// The transports, in the order of the rows of WIRE §2's table. A `custom` one says itself which requests it claims.
enum class TransportKind : unsigned char {
  /// WebSocket (RFC 6455).
  websocket,
  /// Server-Sent Events.
  sse,
  /// A request that is held until there is something (RFC 6202).
  long_polling,
  /// A request that is answered at once.
  short_polling,
  /// A transport of the application's own.
  custom,
};

/// The name of a kind, such as `long_polling`.
constexpr std::string_view name_of(TransportKind kind) noexcept {
  constexpr std::string_view names[] = {"websocket", "sse", "long_polling", "short_polling", "custom"};
  return names[static_cast<std::size_t>(kind)];
}

/// Which transport serves a request.
struct Negotiated {
  /// The transport's index among those offered, or -1 when none serves the request.
  int index = -1;
  /// What the request is refused with: 406, or 426 where WebSocket alone would serve it; 0 when it is served.
  int status = 0;
  /// How long the request asks to wait, where it was chosen for that; zero otherwise.
  std::chrono::milliseconds wait{0};
};

namespace detail {

/// Whether the weight among a media range's parameters (RFC 9110 §12.4.2) is there and zero.
inline bool zero_weight(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    const auto parameter = wire::trim(parameters.substr(0, parameters.find(';')));
    parameters.remove_prefix(std::min(parameters.find(';'), parameters.size() - 1) + 1);
    if (parameter.size() < 2 || !wire::iequals(parameter.substr(0, 2), "q=")) continue;
    const auto weight = wire::trim(parameter.substr(2));
    return weight.starts_with('0') && weight.find_first_not_of("0.") == std::string_view::npos;
  }
  return false;
}

/// Calls `f(range, acceptable)` with each media range of `Accept`, its parameters taken off.
template <class F>
void for_each_media_range(const RequestHead& head, F&& f) {
  for (const auto field : head.headers()) {
    if (!wire::iequals(field.name, "Accept")) continue;
    wire::for_each_list_item(field.value, [&f](std::string_view item) {
      const auto range = item.substr(0, item.find(';'));
      f(wire::trim(range), !zero_weight(item.substr(range.size())));
    });
  }
}

/// A wait in seconds, rounded up to milliseconds so that more than nothing stays more than nothing. A number past a
/// year counts as a year: every endpoint's maximum is below.
inline std::optional<std::chrono::milliseconds> parse_wait(std::string_view text, bool allow_fraction) noexcept {
  constexpr std::string_view digits = "0123456789";
  constexpr std::uint64_t year = 365 * 24 * 3600;
  const auto whole = text.substr(0, text.find('.'));
  const auto fraction = text.substr(std::min(whole.size() + 1, text.size()));
  const bool has_point = whole.size() != text.size();
  if (whole.empty() || whole.find_first_not_of(digits) != whole.npos) return std::nullopt;
  if (has_point && (!allow_fraction || fraction.empty() || fraction.find_first_not_of(digits) != fraction.npos)) {
    return std::nullopt;
  }
  std::uint64_t thousandths = std::min(wire::parse_decimal(whole).value_or(year), year) * 1000;
  std::uint64_t unit = 100;
  for (const char c : fraction.substr(0, 3)) {
    thousandths += static_cast<std::uint64_t>(c - '0') * unit;
    unit /= 10;
  }
  if (fraction.size() > 3 && fraction.find_first_not_of('0', 3) != fraction.npos) ++thousandths;
  return std::chrono::milliseconds{static_cast<std::int64_t>(thousandths)};
}

}  // namespace detail

/// Whether `Accept` names the media type itself, not by a wildcard, and not with `q=0` (RFC 9110 §12.5.1).
inline bool accept_names(const RequestHead& head, std::string_view media) {
  bool named = false;
  detail::for_each_media_range(head, [&](std::string_view range, bool acceptable) {
    named = named || (acceptable && wire::iequals(range, media));
  });
  return named;
}

/// Whether `Accept` admits the media type: the most specific range that matches it has not `q=0`. Without `Accept`, or
/// with an empty one, everything is admitted (RFC 9110 §12.5.1).
inline bool accept_admits(const RequestHead& head, std::string_view media) {
  const auto type = media.substr(0, media.find('/'));
  enum { nothing, everything, same_type, exact };
  int best = nothing;
  bool admitted = false;
  bool any = false;
  detail::for_each_media_range(head, [&](std::string_view range, bool acceptable) {
    any = true;
    const auto range_type = range.substr(0, range.find('/'));
    const int match = wire::iequals(range, media)                                ? exact
                      : range.ends_with("/*") && wire::iequals(range_type, type) ? same_type
                      : range == "*/*"                                           ? everything
                                                                                 : nothing;
    if (match == nothing || match < best) return;
    admitted = acceptable || (match == best && admitted);
    best = match;
  });
  return !any || admitted;
}

/// The wait of `Prefer: wait=N`, N whole seconds (RFC 7240 §4.3). The first `wait` counts, and one that is no number
/// counts as none (WIRE §2).
inline std::optional<std::chrono::milliseconds> preferred_wait(const RequestHead& head) {
  bool seen = false;
  std::optional<std::chrono::milliseconds> wait;
  for (const auto field : head.headers()) {
    if (!wire::iequals(field.name, "Prefer")) continue;
    wire::for_each_list_item(field.value, [&](std::string_view item) {
      const auto preference = item.substr(0, item.find(';'));
      const auto name = preference.substr(0, preference.find('='));
      if (seen || !wire::iequals(wire::trim(name), "wait")) return;
      seen = true;
      auto value = wire::trim(preference.substr(std::min(name.size() + 1, preference.size())));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      wait = detail::parse_wait(value, false);
    });
  }
  return wait;
}

/// Whether `Prefer` asks for a wait, so that the answer says `Preference-Applied` (WIRE §3).
inline bool has_wait_preference(const RequestHead& head) { return preferred_wait(head).has_value(); }

/// How long the request asks to be held: by `Prefer: wait=N`, else by the query's `wait=N`, which may have a decimal
/// fraction. What is no number counts as none; zero asks for an answer at once (WIRE §2).
inline std::optional<std::chrono::milliseconds> requested_wait(const RequestHead& head) {
  if (const auto wait = preferred_wait(head)) return wait;
  const auto text = head.query_value("wait");
  return text ? detail::parse_wait(*text, true) : std::nullopt;
}

/// Chooses the transport for a request among those offered (WIRE §2). `claims(index)` says whether the custom transport
/// at that index claims the request; they are asked first, in the order in which they are offered.
template <class Claims>
Negotiated negotiate(const RequestHead& head, std::span<const TransportKind> offered, Claims&& claims) {
  constexpr std::string_view event_stream = "text/event-stream";
  std::chrono::milliseconds wait{0};
  const auto served = [&wait](std::size_t index) { return Negotiated{static_cast<int>(index), 0, wait}; };
  const auto find = [&](TransportKind kind) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < offered.size(); ++i) {
      if (offered[i] == kind) return i;
    }
    return std::nullopt;
  };

  for (std::size_t i = 0; i < offered.size(); ++i) {
    if (offered[i] == TransportKind::custom && claims(i)) return served(i);
  }

  if (offered.size() == 1) {
    switch (offered[0]) {
      case TransportKind::websocket:
        return head.is_websocket_upgrade() ? served(0) : Negotiated{-1, 426, {}};
      case TransportKind::sse:
        return accept_admits(head, event_stream) ? served(0) : Negotiated{-1, 406, {}};
      case TransportKind::long_polling:
      case TransportKind::short_polling:
        return served(0);
      case TransportKind::custom:
        break;
    }
    return {-1, 406, {}};
  }

  auto row = TransportKind::short_polling;
  if (head.is_websocket_upgrade()) {
    row = TransportKind::websocket;
  } else if (accept_names(head, event_stream)) {
    row = TransportKind::sse;
  } else if ((wait = requested_wait(head).value_or(wait)).count() > 0) {
    row = TransportKind::long_polling;
  }
  for (auto kind = row; kind != TransportKind::custom; kind = static_cast<TransportKind>(static_cast<int>(kind) + 1)) {
    if (const auto index = find(kind)) return served(*index);
  }
  if (const auto sse = find(TransportKind::sse); sse && accept_admits(head, event_stream)) return served(*sse);
  if (const auto polling = find(TransportKind::long_polling)) return served(*polling);
  return {-1, find(TransportKind::websocket) ? 426 : 406, {}};
}

/// The same where no custom transport is offered.
inline Negotiated negotiate(const RequestHead& head, std::span<const TransportKind> offered) {
  return negotiate(head, offered, [](std::size_t) { return false; });
}

}  // namespace downlink
