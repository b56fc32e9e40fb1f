#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "downlink/wire/json.hpp"
#include "downlink/wire/refusal.hpp"
#include "downlink/wire/utf8.hpp"

namespace downlink::wire {

/// The time as an IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7), whatever the locale.
inline std::string http_date(std::chrono::system_clock::time_point time) {
  using std::chrono::days;
  using std::chrono::seconds;
  const auto whole = std::chrono::floor<seconds>(time);
  const auto day = std::chrono::floor<days>(whole);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss<seconds> clock{whole - day};

  std::string text = "Sun, 00 Jan 0000 00:00:00 GMT";
  const auto put = [&text](std::size_t at, unsigned value) {
    text[at] = static_cast<char>('0' + value / 10 % 10);
    text[at + 1] = static_cast<char>('0' + value % 10);
  };
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  const std::size_t month = static_cast<unsigned>(date.month()) - 1;
  text.replace(0, 3, std::string_view{"SunMonTueWedThuFriSat"}.substr(std::chrono::weekday{day}.c_encoding() * 3, 3));
  put(5, static_cast<unsigned>(date.day()));
  text.replace(8, 3, std::string_view{"JanFebMarAprMayJunJulAugSepOctNovDec"}.substr(month * 3, 3));
  put(12, year / 100);
  put(14, year % 100);
  put(17, static_cast<unsigned>(clock.hours().count()));
  put(20, static_cast<unsigned>(clock.minutes().count()));
  put(23, static_cast<unsigned>(clock.seconds().count()));
  return text;
}

/// Appends the status line of an HTTP/1.1 response (RFC 9112 §4).
inline void append_status_line(std::string& out, int status) {
  out += "HTTP/1.1 ";
  out += std::to_string(status);
  out += ' ';
  out += status_text(status);
  out += "\r\n";
}

/// Appends a header field. CR, LF and NUL in the value become spaces, so that no value can end its line (RFC 9110
/// §5.5).
inline void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  const std::size_t begin = out.size();
  out += value;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
      [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
  out += "\r\n";
}

/// The problem details of a refusal (RFC 9457 §3) without `type`. A detail that is not UTF-8 is left out.
inline std::string problem_json(const Refusal& refusal) {
  std::string json = "{\"title\":";
  append_json_string(json, refusal.title());
  json += ",\"status\":";
  json += std::to_string(refusal.status);
  if (!refusal.detail.empty() && is_utf8(refusal.detail)) {
    json += ",\"detail\":";
    append_json_string(json, refusal.detail);
  }
  json += '}';
  return json;
}

/// Appends the whole response to a refused request (WIRE §8). `date` is the value of `Date`; `extra_headers` are lines,
/// each with its CRLF, after the refusal's own. `head_only` leaves out the body, whose length is still told
/// (RFC 9110 §9.3.2). `Connection: close` is there unless both the refusal and `keep_alive` keep the connection; an
/// HTTP/1.0 client's `Connection: keep-alive` belongs to `extra_headers`.
inline void append_problem(std::string& out, const Refusal& refusal, std::string_view date,
                           std::string_view extra_headers, bool head_only, bool keep_alive) {
  const std::string body = problem_json(refusal);
  append_status_line(out, refusal.status);
  append_header(out, "Date", date);
  append_header(out, "Content-Type", "application/problem+json");
  append_header(out, "Content-Length", std::to_string(body.size()));
  if (refusal.close || !keep_alive) append_header(out, "Connection", "close");
  out += refusal.headers;
  out += extra_headers;
  out += "\r\n";
  if (!head_only) out += body;
}

}  // namespace downlink::wire
