#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "downlink/misuse.hpp"
#include "downlink/wire/ascii.hpp"
#include "downlink/wire/query.hpp"

namespace downlink {

namespace wire {

class RequestParser;

namespace detail {

inline constexpr CharacterSet alphanumerics = CharacterSet{""}.with_alphanumerics();
/// What a name may have beside percent-encoded bytes, and an address that is neither IPv4 nor IPv6 (RFC 3986 §3.2.2).
inline constexpr CharacterSet host_characters = CharacterSet{"-._~!$&'()*+,;="}.with_alphanumerics();
inline constexpr CharacterSet future_characters = CharacterSet{"-._~!$&'()*+,;=:"}.with_alphanumerics();

/// Whether this may stand between the brackets of a host: an IPv6 address, as far as its characters tell, or `v`, a
/// version and whatever that one has.
inline bool valid_ip_literal(std::string_view text) noexcept {
  const auto hexadecimal = [](std::string_view digits) {
    return std::all_of(digits.begin(), digits.end(), [](char c) { return hex_digit(c) >= 0; });
  };
  if (text.starts_with('v') || text.starts_with('V')) {
    const auto dot = text.find('.');
    return dot != text.npos && dot > 1 && hexadecimal(text.substr(1, dot - 1)) && dot + 1 < text.size() &&
           future_characters.has_all_of(text.substr(dot + 1));
  }
  return text.find(':') != text.npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return hex_digit(c) >= 0 || c == ':' || c == '.'; });
}

/// Whether this may be the name, or the IPv4 address, of a host.
inline bool valid_host_name(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' ? percent_byte(text, i) < 0 : !host_characters.has(text[i])) return false;
    if (text[i] == '%') i += 2;
  }
  return !text.empty();
}

/// Whether this may be the authority of an http URI without user information: `uri-host [ ":" port ]`
/// (RFC 9110 §7.2).
inline bool valid_authority(std::string_view text) noexcept {
  const auto bracket = text.starts_with('[') ? text.find(']') : 0;
  if (bracket == text.npos) return false;
  const auto colon = std::min(text.find(':', bracket), text.size());
  const auto host = text.substr(0, colon);
  const auto port = text.substr(std::min(colon + 1, text.size()));
  if (port.size() > 5 || port.find_first_not_of("0123456789") != port.npos) return false;
  if (!host.starts_with('[')) return valid_host_name(host);
  return host.size() >= 4 && host.ends_with(']') && valid_ip_literal(host.substr(1, host.size() - 2));
}

}  // namespace detail

}  // namespace wire

/// The head of one HTTP request as plain values. Connections fill it from the wire; an application with a server of
/// its own builds one from what that server has parsed. It is a value: movable, copyable, without thread affinity.
/// The views it gives live until it is changed, moved from or destroyed.
class RequestHead {
  struct Part {
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };
  struct FieldParts {
    Part name;
    Part value;
  };

 public:
  /// One header field (RFC 9110 §5).
  struct Field {
    /// As it came; compared without regard to case.
    std::string_view name;
    /// Without the whitespace around it.
    std::string_view value;
  };

  /// The header fields in the order in which they came.
  class Fields {
   public:
    /// Gives each field by value.
    class iterator {
     public:
      /// What it gives.
      using value_type = Field;
      /// For the standard's algorithms.
      using difference_type = std::ptrdiff_t;
      /// Stands nowhere.
      iterator() = default;
      /// The field that it stands at.
      Field operator*() const noexcept { return head_->field(index_); }
      /// Goes to the next.
      iterator& operator++() noexcept {
        ++index_;
        return *this;
      }
      /// Goes to the next; where it stood before.
      iterator operator++(int) noexcept { return {head_, index_++}; }
      /// Whether both stand at the same place.
      bool operator==(const iterator&) const = default;

     private:
      friend class Fields;
      iterator(const RequestHead* head, std::size_t index) noexcept : head_(head), index_(index) {}
      const RequestHead* head_ = nullptr;
      std::size_t index_ = 0;
    };

    /// The first field.
    iterator begin() const noexcept { return {head_, 0}; }
    /// Behind the last one.
    iterator end() const noexcept { return {head_, size()}; }
    /// How many there are.
    std::size_t size() const noexcept { return head_->fields_.size(); }
    /// Whether there are none.
    bool empty() const noexcept { return head_->fields_.empty(); }

   private:
    friend class RequestHead;
    explicit Fields(const RequestHead* head) noexcept : head_(head) {}
    const RequestHead* head_;
  };

  /// An empty head.
  RequestHead() = default;

  /// A head without header fields: the method and request target as on the request line (RFC 9112 §3), and the
  /// version HTTP/1.`minor_version`.
  RequestHead(std::string_view method, std::string_view target, int minor_version = 1) : minor_version_(minor_version) {
    method_ = append(method);
    target_ = append(target);
    split_target();
  }

  /// Adds a header field after those already there. The value is trimmed; neither argument may view into this head.
  void add_header(std::string_view name, std::string_view value) {
    const Part name_part = append(name);
    fields_.push_back({name_part, append(wire::trim(value))});
  }

  /// The method, whose case matters (RFC 9110 §9.1).
  std::string_view method() const noexcept { return text(method_); }

  /// Whether the method is one that is in use somewhere: those that llhttp knows. Another one is answered with
  /// 501 rather than 405 (WIRE §8).
  bool method_known() const noexcept {
    static constexpr std::array<std::string_view, 35> known{
        "GET",    "HEAD",      "POST",   "PUT",         "DELETE", "OPTIONS",    "PATCH",    "CONNECT",   "TRACE",
        "QUERY",  "COPY",      "LOCK",   "MKCOL",       "MOVE",   "PROPFIND",   "SEARCH",   "PROPPATCH", "UNLOCK",
        "BIND",   "REBIND",    "UNBIND", "ACL",         "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE",     "M-SEARCH",
        "NOTIFY", "SUBSCRIBE", "PURGE",  "UNSUBSCRIBE", "LINK",   "MKCALENDAR", "UNLINK",   "SOURCE"};
    return std::find(known.begin(), known.end(), method()) != known.end();
  }

  /// The request target as it came.
  std::string_view target() const noexcept { return text(target_); }

  /// The path as it came, before any `?`; also of a target in absolute form (RFC 9112 §3.2.2).
  std::string_view path() const noexcept {
    return path_.length == 0 && authority_.length != 0 ? std::string_view{"/"} : text(path_);
  }

  /// The query as it came, without its `?`; empty without one.
  std::string_view query() const noexcept { return text(query_); }

  /// The decoded value of the query's first parameter of that name (WIRE §2) with at least so many bytes.
  std::optional<std::string> query_value(std::string_view name, std::size_t least = 0) const {
    return wire::query_value(query(), name, least);
  }

  /// The host and port that the request is for: the target's own where it is in absolute form, else the header `Host`
  /// (RFC 9112 §3.2.2); empty without either.
  std::string_view host() const noexcept {
    return authority_.length != 0 ? text(authority_) : header("Host").value_or(std::string_view{});
  }

  /// The x of HTTP/1.x.
  int minor_version() const noexcept { return minor_version_; }

  /// The value of the first header field of that name, in any case (RFC 9110 §5.1).
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    for (const Field field : headers()) {
      if (wire::iequals(field.name, name)) return field.value;
    }
    return std::nullopt;
  }

  /// The values of all header fields of that name, joined by commas (RFC 9110 §5.3).
  std::string header_list(std::string_view name) const {
    std::string list;
    bool first = true;
    for (const Field field : headers()) {
      if (!wire::iequals(field.name, name)) continue;
      if (!std::exchange(first, false)) list += ", ";
      list += field.value;
    }
    return list;
  }

  /// How many header fields have that name.
  std::size_t header_count(std::string_view name) const noexcept {
    std::size_t count = 0;
    for (const Field field : headers()) count += wire::iequals(field.name, name) ? 1 : 0;
    return count;
  }

  /// All header fields.
  Fields headers() const noexcept { return Fields{this}; }

  /// Whether one of the header fields of that name lists the token, in any case (RFC 9110 §5.6.1).
  bool has_token(std::string_view name, std::string_view token) const {
    for (const Field field : headers()) {
      if (wire::iequals(field.name, name) && wire::list_has_token(field.value, token)) return true;
    }
    return false;
  }

  /// Whether the connection goes on after this request (RFC 9112 §9.3). It does not after a CONNECT, since what
  /// follows may have been meant for the tunnel.
  bool keep_alive() const {
    if (method() == "CONNECT" || has_token("Connection", "close")) return false;
    return minor_version_ >= 1 || has_token("Connection", "keep-alive");
  }

  /// Whether the request asks to go on as WebSocket (RFC 6455 §4.2.1). HTTP/1.0 has no upgrades (RFC 9110 §7.8).
  bool is_websocket_upgrade() const {
    return minor_version_ >= 1 && has_token("Connection", "upgrade") && has_token("Upgrade", "websocket");
  }

  /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1). Any other expectation is
  /// passed over, as is allowed there.
  bool expects_continue() const { return minor_version_ >= 1 && has_token("Expect", "100-continue"); }

  /// The value of `Content-Length` (RFC 9110 §8.6); nothing where it is absent or no number.
  std::optional<std::uint64_t> content_length() const noexcept {
    const auto value = header("Content-Length");
    return value ? wire::parse_decimal(*value) : std::nullopt;
  }

  /// Whether the body comes in chunks (RFC 9112 §7.1).
  bool chunked() const { return has_token("Transfer-Encoding", "chunked"); }

  /// Whether a body follows (RFC 9112 §6.3).
  bool has_body() const noexcept { return header("Transfer-Encoding") || content_length().value_or(0) > 0; }

 private:
  friend class wire::RequestParser;

  std::string_view text(Part part) const noexcept {
    // A head that was moved from has parts but no text.
    if (part.offset >= bytes_.size()) return {};
    return std::string_view{bytes_}.substr(part.offset, part.length);
  }

  Field field(std::size_t index) const noexcept { return {text(fields_[index].name), text(fields_[index].value)}; }

  Part append(std::string_view text) {
    if (text.size() > std::numeric_limits<std::uint32_t>::max() - bytes_.size()) {
      detail::throw_length_error("downlink::RequestHead: more than 4 GiB of text");
    }
    const Part part{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(text.size())};
    bytes_ += text;
    return part;
  }

  /// Finds the authority, path and query within the target (RFC 9112 §3.2).
  void split_target() noexcept {
    const auto target = this->target();
    const auto part = [this](std::size_t begin, std::size_t end) {
      return Part{target_.offset + static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin)};
    };
    std::size_t path = 0;
    if (const auto colon = target.find_first_of(":/?"); colon != target.npos && target.substr(colon, 3) == "://") {
      path = std::min(target.find_first_of("/?", colon + 3), target.size());
      authority_ = part(colon + 3, path);
    }
    const auto mark = std::min(target.find('?', path), target.size());
    path_ = part(path, mark);
    query_ = part(std::min(mark + 1, target.size()), target.size());
  }

  // The text that all parts view: what was appended, or the whole head as it came.
  std::string bytes_;
  std::vector<FieldParts> fields_;
  Part method_;
  Part target_;
  Part authority_;
  Part path_;
  Part query_;
  int minor_version_ = 1;
};

}  // namespace downlink
