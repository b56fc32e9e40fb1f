#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink {

/// Where a request asks delivery to start (WIRE §1).
struct StartRequest {
  /// How it says so.
  enum class Kind : unsigned char {
    /// It does not say: the endpoint's default holds.
    none,
    /// After the message whose id is `cursor`.
    cursor,
    /// At the oldest retained message.
    earliest,
    /// After the newest message.
    latest,
    /// `history` messages before the end.
    history,
    /// What it says is neither a cursor nor a number: 400.
    invalid,
  };
  /// How it says so.
  Kind kind = Kind::none;
  /// The id handed in, for `Kind::cursor`.
  std::string cursor = {};
  /// How many messages, for `Kind::history`; a number too large for the type is the largest.
  std::uint64_t history = 0;
};

namespace wire {

namespace detail {
inline constexpr CharacterSet cursor_characters = CharacterSet{"._-"}.with_alphanumerics();
}

/// Whether a text may be a cursor: 1 to 64 characters of `[A-Za-z0-9._-]` (WIRE §1).
inline bool is_cursor_text(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 64 && detail::cursor_characters.has_all_of(text);
}

}  // namespace wire

/// The id in `If-None-Match` where that is one entity tag that may be an id, strong or weak (RFC 9110 §13.1.2 compares
/// weakly); nothing for a list, `*`, another tag or none (WIRE §3).
inline std::optional<std::string> if_none_match_id(const RequestHead& head) {
  if (head.header_count("If-None-Match") != 1) return std::nullopt;
  auto tag = wire::trim(*head.header("If-None-Match"));
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  if (tag.size() < 2 || tag.front() != '"' || tag.back() != '"') return std::nullopt;
  tag = tag.substr(1, tag.size() - 2);
  if (!wire::is_cursor_text(tag) || tag == "earliest" || tag == "latest") return std::nullopt;
  return std::string{tag};
}

/// Where the request asks delivery to start: the first that is given and not empty of the header `Last-Event-ID`, the
/// query's `cursor`, its `last_event_id` or `lastEventId`, `If-None-Match` (for polling alone), the query's `history`
/// (WIRE §1).
inline StartRequest requested_start(const RequestHead& head, bool polling) {
  using Kind = StartRequest::Kind;
  std::string cursor;
  for (const auto& [name, value] : head.headers()) {
    if (cursor.empty() && wire::iequals(name, "Last-Event-ID")) cursor = wire::trim(value);
  }
  for (const std::string_view name : {"cursor", "last_event_id", "lastEventId"}) {
    if (cursor.empty()) cursor = head.query_value(name, 1).value_or(std::string{});
  }
  if (!cursor.empty()) {
    if (cursor == "earliest") return {.kind = Kind::earliest};
    if (cursor == "latest") return {.kind = Kind::latest};
    if (!wire::is_cursor_text(cursor)) return {.kind = Kind::invalid};
    return {.kind = Kind::cursor, .cursor = std::move(cursor)};
  }
  if (polling) {
    if (auto id = if_none_match_id(head)) return {.kind = Kind::cursor, .cursor = std::move(*id)};
  }
  const auto history = head.query_value("history");
  if (!history) return {};
  if (history->empty() || history->find_first_not_of("0123456789") != std::string::npos) {
    return {.kind = Kind::invalid};
  }
  return {.kind = Kind::history,
          .history = wire::parse_decimal(*history).value_or(std::numeric_limits<std::uint64_t>::max())};
}

}  // namespace downlink
