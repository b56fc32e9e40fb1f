#pragma once

#include <llhttp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "downlink/wire/ascii.hpp"
#include "downlink/wire/lines.hpp"
#include "downlink/wire/query.hpp"
#include "downlink/wire/refusal.hpp"
#include "downlink/wire/request_head.hpp"

namespace downlink {

/// What a request may be at most (WIRE §8). All are in bytes but `max_headers`.
struct RequestLimits {
  /// The request target; a longer one is answered with 414. By default 8 KiB, the least that every server should take
  /// (RFC 9112 §3) and what others take at most.
  std::size_t max_target = 8192;
  /// One header field, its name and value together; a longer one is answered with 431. By default 8 KiB: cookies of 4
  /// KiB and large tokens fit.
  std::size_t max_header = 8192;
  /// The head from the request line to the blank line; a longer one is answered with 431. Trailers and chunk
  /// extensions together are held to it too. By default 32 KiB: what browsers send, several times, and a bound on what
  /// a connection that sends nothing else takes.
  std::size_t max_head = 32768;
  /// The number of header fields; more are answered with 431. By default 2000: a head within `max_head` reaches that
  /// with nothing but the shortest of fields, and what is noted of each comes to as much as the head's text.
  std::size_t max_headers = 2000;
  /// The body without its chunked framing; a longer one is answered with 413. By default 1 MiB. In an endpoint
  /// `EndpointOptions::max_message` takes its place.
  std::size_t max_body = 1 << 20;
};

namespace wire {

/// Takes a connection's bytes and gives its requests one after the other (RFC 9112). It is strict: what two readers
/// could read differently is refused, so that no proxy in front sees other requests than this server. Each line is
/// checked as it comes; llhttp, without any of its lenient flags, then reads the whole head.
///
/// `feed` stops right after the head, so that the caller may look at it, and right after the request's last byte; what
/// it left belongs to the next feed, the next request or, after an upgrade, the next protocol.
class RequestParser {
 public:
  /// How far the request has come.
  enum class State : unsigned char {
    /// The head has not wholly come.
    head,
    /// The head is there; the next `feed` goes on with the body.
    head_complete,
    /// The body has not wholly come.
    body,
    /// The request is whole; `reset` makes ready for the next.
    complete,
    /// The request is refused; `refusal` tells why.
    failed,
  };

  /// A parser for one connection, before its first request.
  explicit RequestParser(const RequestLimits& limits) : limits_(limits) {
    limits_.max_head = std::min(limits_.max_head, longest_head);
    limits_.max_target = std::min(limits_.max_target, limits_.max_head);
  }

  /// Takes bytes and returns how many; 0 once the request is complete or refused. After `head_complete` it goes to
  /// `complete` without taking any where no body follows; an empty piece is enough.
  std::size_t feed(std::string_view bytes) {
    if (state_ == State::head) return feed_head(bytes);
    if (state_ == State::head_complete) begin_body();
    if (state_ == State::body) return chunked_ ? feed_chunks(bytes) : feed_identity(bytes);
    return 0;
  }

  /// How far the request has come.
  State state() const noexcept { return state_; }

  /// The head, from `head_complete` on; of one that was refused, its method and the fields before what was wrong with
  /// it, for the answer alone.
  const RequestHead& head() const noexcept { return head_; }
  /// Moves the head out; before it is whole, what has come of it as after a refusal.
  RequestHead take_head() {
    if (state_ == State::head) keep_checked_fields();
    return std::exchange(head_, {});
  }
  /// The body without its framing, as far as it has come; may be moved from once complete.
  std::string& body() noexcept { return body_; }
  /// How many bytes of the body, or of its current chunk, are known to be still to come.
  std::uint64_t missing() const noexcept { return state_ == State::body ? remaining_ : 0; }
  /// Why the request was refused, once `failed`.
  const Refusal& refusal() const noexcept { return refusal_; }
  /// Whether any byte of a request has come; the empty lines that may stand before one are none.
  bool started() const noexcept { return state_ != State::head || (!raw_.empty() && raw_.front() != '\r'); }
  /// Makes ready for the next request. `last` is the head that was taken of this one: its memory serves again, and
  /// where the next request has the same fields to the byte, as one of a client that polls, they are not read once
  /// more.
  void reset(RequestHead last = {}) {
    const bool repeatable = state_ == State::complete && framing_.lengths + framing_.codings == 0 &&
                            last.bytes_.size() <= most_kept && last.fields_.size() == framing_.fields;
    std::string room = std::move(raw_);
    *this = RequestParser{limits_};
    if (repeatable) last_ = std::move(last);
    if (room.capacity() > most_kept) return;
    room.clear();
    raw_ = std::move(room);
  }

 private:
  // Longer than any method; and what may stand after the target on a request line, with some to spare.
  static constexpr std::size_t max_method = 64;
  static constexpr std::size_t max_after_target = 32;
  static constexpr std::size_t after_target = std::string_view{" HTTP/1.1\r\n"}.size();
  static constexpr std::size_t max_empty_lines = 4;
  static constexpr std::size_t longest_head = std::size_t{1} << 30;  // whose parts 32 bits can name
  // Of a head, from one request to the next.
  static constexpr std::size_t most_kept = 2048;

  std::size_t feed_head(std::string_view bytes) {
    std::size_t used = 0;
    while (state_ == State::head && used < bytes.size()) {
      const std::size_t line_length = raw_.size() - line_start_;
      const bool request_line = line_start_ == 0;
      const std::size_t limit = request_line ? max_method + limits_.max_target + max_after_target : limits_.max_header;
      const bool after_cr = line_length > 0 && raw_.back() == '\r';
      const std::size_t head_room = saturating_subtract(limits_.max_head, raw_.size());
      const std::size_t line_room = saturating_subtract(limit, line_length);
      const auto [taken, outcome] = detail::scan_line(bytes.substr(used), after_cr, std::min(line_room, head_room));
      raw_.append(bytes, used, taken);
      used += taken;
      switch (outcome) {
        case detail::LineScan::partial:
          break;
        case detail::LineScan::bad:
          refuse(400, "The head has a control character, or a CR or LF alone.");
          break;
        case detail::LineScan::too_long:
          if (request_line && line_room <= head_room) {
            check_request_line(raw_, false);
          } else {
            refuse(431, line_room <= head_room ? "A header field is too long." : "The request's head is too long.");
          }
          break;
        case detail::LineScan::whole:
          end_of_line(std::string_view{raw_}.substr(line_start_, raw_.size() - line_start_ - 2));
          if (request_line && state_ == State::head && line_start_ > 0) used += repeat_fields(bytes.substr(used));
      }
    }
    return used;
  }

  /// Takes the rest of a head where it is that of the last request to the byte: so then is what was read of it, which
  /// depends on nothing but these bytes, the method and the version. llhttp would refuse no more of the target either
  /// where that is a path; of the other forms it would. Returns how many bytes it took; none otherwise.
  std::size_t repeat_fields(std::string_view bytes) {
    const std::size_t begin = last_.target_.offset + last_.target_.length + after_target;
    if (begin >= last_.bytes_.size() || !bytes.starts_with(std::string_view{last_.bytes_}.substr(begin))) return 0;
    const std::size_t size = last_.bytes_.size() - begin;
    const auto method = std::string_view{raw_}.substr(0, head_.method_.length);
    if (method != last_.method() || raw_[head_.target_.offset] != '/' || head_.minor_version_ != last_.minor_version_ ||
        raw_.size() + size > limits_.max_head) {
      return 0;
    }
    const auto shift = static_cast<std::uint32_t>(raw_.size() - begin);  // either way, modulo 2^32
    last_.bytes_.replace(0, begin, raw_);
    raw_.clear();
    for (auto& field : last_.fields_) {
      for (auto* part : {&field.name, &field.value}) part->offset += part->length > 0 ? shift : 0;
    }
    head_.bytes_ = std::exchange(last_.bytes_, {});
    head_.fields_ = std::exchange(last_.fields_, {});
    framing_.fields = head_.fields_.size();
    head_.split_target();
    state_ = State::head_complete;
    return size;
  }

  void end_of_line(std::string_view line) {
    if (raw_.size() > limits_.max_head) return refuse(431, "The request's head is too long.");
    if (!line.empty()) {
      if (line_start_ == 0) {
        check_request_line(line, true);
      } else {
        check_field(line);
      }
      line_start_ = raw_.size();
    } else if (line_start_ != 0) {
      finish_head();
    } else {
      // Clients of old send an empty line after a body (RFC 9112 §2.2).
      raw_.clear();
      if (++empty_lines_ > max_empty_lines) refuse(400, "There are too many empty lines before the request.");
    }
  }

  /// Checks the request line, or as much of it as its limit let in, and notes where its parts are (RFC 9112 §3).
  void check_request_line(std::string_view line, bool whole) {
    const auto method = line.substr(0, line.find(' '));
    if (!detail::is_token(method)) return refuse(400, "The method is not a token.");
    if (method.size() > max_method) return refuse(501, "The method is not known.");
    head_.method_ = {0, static_cast<std::uint32_t>(method.size())};  // what is refused from here on is answered by it
    const auto rest = line.substr(std::min(method.size() + 1, line.size()));
    const auto target = rest.substr(0, rest.find(' '));
    if (target.size() > limits_.max_target) return refuse(414, "The request target is too long.");
    if (!whole || target.empty() || target.size() == rest.size()) {
      return refuse(400, "The request line is not a method, a target and a version with single spaces between them.");
    }
    const auto version = rest.substr(target.size() + 1);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (version.size() != 8 || !version.starts_with("HTTP/") || !digit(version[5]) || version[6] != '.' ||
        !digit(version[7])) {
      return refuse(400, "The HTTP version is malformed.");
    }
    if (version[5] != '1') return refuse(505, "Only HTTP/1.0 and HTTP/1.1 are served.");
    if (!valid_target(method, target)) return refuse(400, "The request target is malformed.");

    head_.target_ = {static_cast<std::uint32_t>(method.size() + 1), static_cast<std::uint32_t>(target.size())};
    head_.minor_version_ = version[7] - '0';
  }

  /// The four forms of RFC 9112 §3.2.
  static bool valid_target(std::string_view method, std::string_view target) {
    if (std::any_of(target.begin(), target.end(), [](char c) { return c <= 0x20 || c > 0x7E || c == '#'; }))
      return false;
    if (target.front() == '/') return true;
    if (target == "*") return method == "OPTIONS";
    const auto scheme = target.substr(0, target.find("://"));
    if (scheme.size() == target.size()) return method == "CONNECT" && detail::valid_authority(target);
    const auto rest = target.substr(scheme.size() + 3);
    return !scheme.empty() && detail::alphanumerics.has_all_of(scheme) &&
           detail::valid_authority(rest.substr(0, rest.find_first_of("/?")));
  }

  void check_field(std::string_view line) {
    if (line.front() == ' ' || line.front() == '\t') return refuse(400, "A header line begins with whitespace.");
    const auto name = line.substr(0, line.find(':'));
    if (name.size() == line.size() || !detail::is_token(name)) {
      return refuse(400, "A header line is not a name, a colon right after it and a value.");
    }
    if (state_ != State::head) return;  // a trailer
    if (++framing_.fields > limits_.max_headers) return refuse(431, "There are too many header fields.");
    const auto value = trim(line.substr(name.size() + 1));
    if (iequals(name, "Host")) {
      ++framing_.hosts;
      framing_.bad = framing_.bad || !(value.empty() || detail::valid_authority(value));
    } else if (iequals(name, "Content-Length")) {
      ++framing_.lengths;
      framing_.bad = framing_.bad || !parse_decimal(value);
      framing_.length = parse_decimal(value).value_or(0);
      // Some versions of llhttp refuse a tab after the number, which is whitespace like a space.
      std::replace(raw_.begin() + static_cast<std::ptrdiff_t>(line_start_), raw_.end(), '\t', ' ');
    } else if (iequals(name, "Transfer-Encoding")) {
      ++framing_.codings;
      framing_.unknown_coding = framing_.unknown_coding || framing_.codings > 1 || !iequals(value, "chunked");
    }
  }

  void finish_head() {
    if (framing_.hosts > 1 || (framing_.hosts == 0 && head_.minor_version_ >= 1)) {
      return refuse(400, "The header Host must be there once.");
    }
    if (framing_.lengths > 1) return refuse(400, "The header Content-Length is repeated.");
    if (framing_.bad) return refuse(400, "The header Host or Content-Length is malformed.");
    if (framing_.codings > 0 && framing_.lengths > 0) {
      return refuse(400, "The request has both Content-Length and Transfer-Encoding.");
    }
    if (framing_.codings > 0 && head_.minor_version_ == 0) {
      return refuse(400, "HTTP/1.0 has no Transfer-Encoding.");
    }
    if (framing_.unknown_coding) return refuse(501, "The only transfer coding is chunked.");
    if (!read_with_llhttp()) return refuse(400, "The head is malformed.");

    head_.bytes_ = std::exchange(raw_, {});
    head_.split_target();
    state_ = State::head_complete;
    chunked_ = framing_.codings > 0;
    remaining_ = framing_.length;
    // A body is no part of an upgrade whatever its length, and the caller says so.
    if (remaining_ > limits_.max_body && !head_.is_websocket_upgrade()) refuse_body();
  }

  /// Where `span` is in the text that it views.
  static RequestHead::Part part(const std::string& text, std::string_view span) {
    if (span.empty()) return {};
    return {static_cast<std::uint32_t>(span.data() - text.data()), static_cast<std::uint32_t>(span.size())};
  }

  /// Has llhttp read the head and fill in the fields. It must see as many as were checked.
  bool read_with_llhttp() {
    struct Reader {
      RequestHead& head;
      const std::string& text;
      std::string_view name = {};
      std::string_view value = {};
      bool complete = false;

      static Reader& of(llhttp_t* parser) { return *static_cast<Reader*>(parser->data); }
      static int extend(std::string_view& span, const char* at, std::size_t length) {
        span = span.empty() ? std::string_view{at, length} : std::string_view{span.data(), span.size() + length};
        return 0;
      }
    };
    static constexpr llhttp_settings_t settings = [] {
      llhttp_settings_t callbacks{};
      callbacks.on_header_field = [](llhttp_t* parser, const char* at, std::size_t length) {
        return Reader::extend(Reader::of(parser).name, at, length);
      };
      callbacks.on_header_value = [](llhttp_t* parser, const char* at, std::size_t length) {
        return Reader::extend(Reader::of(parser).value, at, length);
      };
      callbacks.on_header_value_complete = [](llhttp_t* parser) {
        auto& reader = Reader::of(parser);
        reader.head.fields_.push_back({part(reader.text, reader.name), part(reader.text, trim(reader.value))});
        reader.name = reader.value = {};
        return 0;
      };
      callbacks.on_headers_complete = [](llhttp_t* parser) {
        Reader::of(parser).complete = true;
        return static_cast<int>(HPE_PAUSED);
      };
      return callbacks;
    }();

    // llhttp refuses methods that it does not know and versions past 1.1, which are to be treated as 1.1
    // (RFC 9110 §2.5); neither changes how a head is read, but for the target of a CONNECT.
    const std::size_t method_length = head_.method_.length;
    const std::size_t version_end = head_.target_.offset + head_.target_.length + std::size_t{9};
    if (head_.minor_version_ > 1) raw_[version_end - 1] = '1';
    const char target_begin = raw_[head_.target_.offset];
    const bool connect = raw_.starts_with("CONNECT ") && target_begin != '/' &&
                         std::string_view{raw_}.substr(0, version_end).find("://") == std::string_view::npos;
    const std::string_view method = connect ? "CONNECT" : "GET";

    head_.fields_.reserve(framing_.fields);
    Reader reader{head_, raw_};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &reader;
    llhttp_execute(&parser, method.data(), method.size());
    const auto outcome = llhttp_execute(&parser, raw_.data() + method_length, raw_.size() - method_length);
    return outcome == HPE_PAUSED && reader.complete && head_.fields_.size() == framing_.fields;
  }

  /// Leaves in the head what the lines before the current one have told, each of which was checked by itself.
  void keep_checked_fields() {
    head_.fields_.clear();
    std::size_t begin = line_start_ > 0 ? raw_.find("\r\n") + 2 : 0;
    while (begin < line_start_) {
      const auto line = std::string_view{raw_}.substr(begin, raw_.find("\r\n", begin) - begin);
      const auto name = line.substr(0, line.find(':'));
      const auto value = trim(line.substr(name.size() + 1));
      head_.fields_.push_back({part(raw_, name), part(raw_, value)});
      begin += line.size() + 2;
    }
    head_.bytes_ = std::exchange(raw_, {});
  }

  void begin_body() {
    if (remaining_ > limits_.max_body) return refuse_body();
    state_ = chunked_ || remaining_ > 0 ? State::body : State::complete;
  }

  std::size_t feed_identity(std::string_view bytes) {
    const auto taken = take_content(bytes);
    if (remaining_ == 0) state_ = State::complete;
    return taken;
  }

  std::size_t take_content(std::string_view bytes) {
    const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size()));
    body_.append(bytes, 0, taken);
    remaining_ -= taken;
    return taken;
  }

  /// RFC 9112 §7.1.
  std::size_t feed_chunks(std::string_view bytes) {
    std::size_t used = 0;
    while (state_ == State::body && used < bytes.size()) {
      if (chunk_part_ == ChunkPart::content) {
        used += take_content(bytes.substr(used));
        if (remaining_ == 0) chunk_part_ = ChunkPart::end;
        continue;
      }
      const bool after_cr = !raw_.empty() && raw_.back() == '\r';
      const std::size_t room = chunk_part_ == ChunkPart::end ? 0 : saturating_subtract(limits_.max_header, raw_.size());
      const auto [taken, outcome] = detail::scan_line(bytes.substr(used), after_cr, room);
      raw_.append(bytes, used, taken);
      used += taken;
      if (outcome == detail::LineScan::whole) {
        end_of_chunk_line(std::string_view{raw_}.substr(0, raw_.size() - 2));
        raw_.clear();
      } else if (outcome == detail::LineScan::too_long && chunk_part_ != ChunkPart::end) {
        refuse(431, "A trailer field or chunk extension is too long.");
      } else if (outcome != detail::LineScan::partial) {
        refuse(400, "The chunked body is malformed.");
      }
    }
    return used;
  }

  void end_of_chunk_line(std::string_view line) {
    switch (chunk_part_) {
      case ChunkPart::size:
        return begin_chunk(line);
      case ChunkPart::content:
        return;
      case ChunkPart::end:
        chunk_part_ = ChunkPart::size;
        return;
      case ChunkPart::trailers:
        break;
    }
    if (line.empty()) {
      state_ = State::complete;
      return;
    }
    check_field(line);
    count_overhead(line.size() + 2);
  }

  void begin_chunk(std::string_view line) {
    std::size_t digits = 0;
    remaining_ = 0;
    for (; digits < line.size() && detail::hex_digit(line[digits]) >= 0; ++digits) {
      if (digits == 16) return refuse(400, "A chunk's size has too many digits.");
      remaining_ = remaining_ * 16 + static_cast<unsigned>(detail::hex_digit(line[digits]));
    }
    if (digits == 0 || !detail::valid_chunk_extensions(line.substr(digits))) {
      return refuse(400, "A chunk's size is malformed.");
    }
    if (remaining_ > limits_.max_body - body_.size()) return refuse_body();
    chunk_part_ = remaining_ > 0 ? ChunkPart::content : ChunkPart::trailers;
    count_overhead(line.size() - digits);
  }

  void count_overhead(std::size_t bytes) {
    overhead_ += bytes;
    if (overhead_ > limits_.max_head && state_ == State::body) {
      refuse(431, "The trailer fields and chunk extensions are too long.");
    }
  }

  void refuse(int status, std::string_view detail) {
    if (state_ == State::head) keep_checked_fields();
    state_ = State::failed;
    refusal_ = {.status = status, .detail = std::string{detail}, .close = true};
    raw_ = {};
  }
  void refuse_body() { refuse(413, "The request's body is too large."); }

  static constexpr std::size_t saturating_subtract(std::size_t a, std::size_t b) noexcept { return a > b ? a - b : 0; }

  enum class ChunkPart : unsigned char { size, content, end, trailers };

  /// What the header lines say of where the request ends.
  struct Framing {
    std::size_t fields = 0;
    std::size_t hosts = 0;
    std::size_t lengths = 0;
    std::size_t codings = 0;
    std::uint64_t length = 0;
    bool bad = false;
    bool unknown_coding = false;
  };

  RequestLimits limits_;
  State state_ = State::head;
  ChunkPart chunk_part_ = ChunkPart::size;
  bool chunked_ = false;
  std::size_t empty_lines_ = 0;
  // The head so far, whose current line begins at `line_start_`; then the current line of chunked framing.
  std::string raw_;
  std::size_t line_start_ = 0;
  Framing framing_;
  std::uint64_t remaining_ = 0;  // of the body, or of its current chunk
  std::size_t overhead_ = 0;
  RequestHead head_;
  RequestHead last_;  // that of the request before, where it may be repeated
  std::string body_;
  Refusal refusal_;
};

}  // namespace wire

}  // namespace downlink
