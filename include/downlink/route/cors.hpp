#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "downlink/misuse.hpp"
#include "downlink/wire/ascii.hpp"
#include "downlink/wire/forwarded.hpp"
#include "downlink/wire/request_head.hpp"
#include "downlink/wire/response.hpp"

namespace downlink {

/// Which pages of other origins may use an endpoint (Fetch §3.2, WIRE §8). Pages of its own origin always may.
struct CorsOptions {
  /// Origins like `https://app.example` or `http://localhost:3000`, `null`, or `*` for every one. By default none.
  std::vector<std::string> allowed_origins = {};
  /// Whether pages may send cookies and other credentials. Never together with `*`. By default not: it lets those pages
  /// act for whoever is logged in.
  bool allow_credentials = false;
  /// For how long a browser may remember the answer to a preflight. By default ten minutes, few preflights for a change
  /// that takes effect soon; browsers cap it at two hours or a day.
  std::chrono::seconds max_age{600};
};

/// What a request's `Origin` is to an endpoint.
enum class OriginVerdict : unsigned char {
  /// The request has none.
  none,
  /// The endpoint's own.
  same_origin,
  /// Another one that is configured.
  allowed,
  /// Another one that is not: WebSocket and POST are answered with 403.
  refused,
};

namespace detail {

/// A serialised origin (RFC 6454 §6.2) in lower case without a default port; nothing where it is none.
inline std::optional<std::string> normalized_origin(std::string_view origin) {
  std::string text;
  for (const char c : origin) text += wire::detail::ascii_lower(c);
  const auto colon = text.find("://");
  if (colon == text.npos || colon == 0) return std::nullopt;
  if (!std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                   [](char c) { return wire::detail::alphanumerics.has(c) || c == '+' || c == '-' || c == '.'; })) {
    return std::nullopt;
  }
  const std::string_view authority = std::string_view{text}.substr(colon + 3);
  if (!wire::detail::valid_authority(authority)) return std::nullopt;
  const std::string_view scheme = std::string_view{text}.substr(0, colon);
  const std::string_view default_port = scheme == "http" ? ":80" : scheme == "https" ? ":443" : ":";
  if (authority.ends_with(default_port)) text.resize(text.size() - default_port.size());
  return text;
}

/// The first `host` in `Forwarded` (RFC 7239 §5.3): the one that the proxy nearest to the client was asked for.
inline std::string forwarded_host(const RequestHead& head) {
  std::string host;
  for (const auto element : wire::forwarded_elements(head)) {
    if (host.empty()) host = wire::forwarded_value(element, "host");
  }
  return host;
}

/// The first of `X-Forwarded-Host`.
inline std::string x_forwarded_host(const RequestHead& head) {
  std::string host;
  wire::for_each_list_item(head.header("X-Forwarded-Host").value_or(std::string_view{}),
                           [&host](std::string_view item) {
                             if (host.empty()) host = item;
                           });
  return host;
}

/// What a page names as its origin in lines that stand behind what was wrong with its request's head, as far as they
/// have come; empty where it does not.
inline std::string_view origin_in(std::string_view lines) {
  while (!lines.empty() && !lines.starts_with("\r\n")) {
    auto line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto name = line.substr(0, line.find(':'));
    if (name.size() < line.size() && wire::iequals(name, "Origin")) return wire::trim(line.substr(name.size() + 1));
  }
  return {};
}

inline bool allows_every_origin(const CorsOptions& options) {
  return std::find(options.allowed_origins.begin(), options.allowed_origins.end(), "*") !=
         options.allowed_origins.end();
}

}  // namespace detail

/// Throws `std::invalid_argument` with a sentence where the options contradict each other or an origin is none.
inline void validate(const CorsOptions& options) {
  if (options.allow_credentials && detail::allows_every_origin(options)) {
    detail::throw_invalid_argument(
        "CorsOptions: allow_credentials and the origin '*' exclude each other: name the origins, or leave credentials "
        "out");
  }
  if (options.max_age.count() < 0) detail::throw_invalid_argument("CorsOptions: max_age must not be negative");
  for (const auto& origin : options.allowed_origins) {
    if (origin == "*" || origin == "null") continue;
    if (origin.find('*') != origin.npos || !detail::normalized_origin(origin)) {
      detail::throw_invalid_argument(
          "CorsOptions: '" + origin +
          "' is not an origin: a scheme, a host and perhaps a port, like 'https://app.example'");
    }
  }
}

/// What the request's `Origin` is to an endpoint with these options. It is the endpoint's own where its host and port
/// are those of `Host` (whose port, if left out, is the origin's scheme's own, since a proxy may have ended TLS), or,
/// when the proxy in front is trusted, of `Forwarded` or `X-Forwarded-Host`; or where the browser says so by
/// `Sec-Fetch-Site: same-origin`, which no page can set.
inline OriginVerdict judge_origin(const RequestHead& head, const CorsOptions& options, bool trusted_proxy) {
  const auto count = head.header_count("Origin");
  if (count == 0) return OriginVerdict::none;
  if (count > 1) return OriginVerdict::refused;
  if (head.header("Sec-Fetch-Site") == "same-origin") return OriginVerdict::same_origin;

  const auto given = *head.header("Origin");
  const auto origin = detail::normalized_origin(given);
  if (origin && (origin->starts_with("http://") || origin->starts_with("https://"))) {
    const auto scheme = origin->substr(0, origin->find("://") + 3);
    const auto is_own = [&](std::string_view host) {
      return !host.empty() && detail::normalized_origin(scheme + std::string{host}) == origin;
    };
    if (is_own(head.host()) ||
        (trusted_proxy && (is_own(detail::forwarded_host(head)) || is_own(detail::x_forwarded_host(head))))) {
      return OriginVerdict::same_origin;
    }
  }
  for (const auto& allowed : options.allowed_origins) {
    if (allowed == "*" ||
        (origin ? detail::normalized_origin(allowed) == origin : allowed == "null" && given == "null")) {
      return OriginVerdict::allowed;
    }
  }
  return OriginVerdict::refused;
}

/// Appends the header lines by which a browser lets a page read the answer, errors too (Fetch §3.2.3). `Vary: Origin`
/// belongs to every answer, since with another origin it would have been another. `exposed` are the fields that scripts
/// may read besides those that they always may.
inline void append_cors_headers(std::string& out, const RequestHead& head, const CorsOptions& options,
                                OriginVerdict verdict, std::string_view exposed = "ETag") {
  wire::append_header(out, "Vary", "Origin");
  if (verdict != OriginVerdict::allowed && verdict != OriginVerdict::same_origin) return;
  const bool every = detail::allows_every_origin(options);
  wire::append_header(out, "Access-Control-Allow-Origin",
                      every ? std::string_view{"*"} : head.header("Origin").value_or(std::string_view{}));
  if (options.allow_credentials) wire::append_header(out, "Access-Control-Allow-Credentials", "true");
  wire::append_header(out, "Access-Control-Expose-Headers", exposed);
}

/// Whether a browser asks what a page may send (Fetch §3.2.2).
inline bool is_preflight(const RequestHead& head) {
  return head.method() == "OPTIONS" && head.header("Origin") && head.header("Access-Control-Request-Method");
}

/// The header lines that a preflight's 204 has besides those of `append_cors_headers` (WIRE §8).
inline std::string preflight_headers(const CorsOptions& options, OriginVerdict verdict) {
  std::string out;
  if (verdict != OriginVerdict::allowed && verdict != OriginVerdict::same_origin) return out;
  wire::append_header(out, "Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  wire::append_header(out, "Access-Control-Allow-Headers",
                      "Last-Event-ID, Content-Type, If-None-Match, Prefer, Authorization");
  wire::append_header(out, "Access-Control-Max-Age", std::to_string(options.max_age.count()));
  return out;
}

}  // namespace downlink
