// Requests of one connection: whatever is accepted is what RFC 9112 allows, read once and for all, however it is cut.

#include <downlink/wire/proxy_protocol.hpp>
#include <downlink/wire/request_parser.hpp>

#include <cctype>
#include <string>
#include <vector>

#include "fuzz/fuzz.hpp"

using namespace downlink;
using namespace downlink::fuzz;
using State = wire::RequestParser::State;

namespace {

struct Read {
  State state = State::head;
  bool started = false;
  std::size_t begin = 0, head_end = 0, end = 0;
  RequestHead head = {};
  std::string body = {};
  wire::Refusal refusal = {};
};

std::vector<Read> read(std::string_view bytes, const RequestLimits& limits, Cutter cutter) {
  std::vector<Read> all(1);
  wire::RequestParser parser(limits);
  std::string unread;
  std::size_t taken = 0;
  const auto note = [&] {
    auto& current = all.back();
    current.state = parser.state();
    current.started = parser.started();
    current.end = taken;
    if (parser.state() == State::complete || parser.state() == State::failed) current.body = parser.body();
    current.refusal = parser.refusal();
  };
  do {
    const auto piece = cutter.piece(bytes.size());
    unread += bytes.substr(0, piece);
    bytes.remove_prefix(piece);
    while (true) {
      const auto used = parser.feed(unread);
      check(used <= unread.size(), "more was taken than given");
      unread.erase(0, used);
      taken += used;
      if (parser.state() == State::failed) {
        all.back().head = parser.take_head();
        check(parser.feed(unread) == 0, "bytes were taken after a refusal");
        note();
        return all;
      }
      if (parser.state() == State::head_complete) {
        all.back().head = parser.head();
        all.back().head_end = taken;
      } else if (parser.state() == State::complete) {
        const auto& seen = all.back().head;
        auto head = parser.take_head();
        check(head.target() == seen.target() && head.headers().size() == seen.headers().size(), "another head");
        check(parser.head().method().empty() && parser.head().headers().empty(), "a head was left");
        note();
        // Cut into single bytes, no fields are taken over from the last request: the cuts must not show.
        parser.reset(std::move(head));
        all.push_back({.begin = taken});
        if (unread.empty()) break;
      } else if (used == 0 || unread.empty()) {
        break;
      }
    }
  } while (!bytes.empty());
  note();
  return all;
}

void same(const std::vector<Read>& a, const std::vector<Read>& b) {
  check(a.size() == b.size(), "the cuts decide how many requests there are");
  for (std::size_t i = 0; i < a.size(); ++i) {
    check(a[i].state == b[i].state && a[i].started == b[i].started, "the cuts decide on the state");
    check(a[i].end == b[i].end && a[i].head_end == b[i].head_end, "the cuts decide where a request ends");
    check(a[i].body == b[i].body, "the cuts decide on the body");
    check(a[i].refusal.status == b[i].refusal.status && a[i].refusal.detail == b[i].refusal.detail,
          "the cuts decide on the refusal");
    check(a[i].head.method() == b[i].head.method() && a[i].head.target() == b[i].head.target(), "the cuts: target");
    check(a[i].head.headers().size() == b[i].head.headers().size(), "the cuts: fields");
    auto other = b[i].head.headers().begin();
    for (const auto field : a[i].head.headers()) {
      check(field.name == (*other).name && field.value == (*other).value, "the cuts decide on a field");
      ++other;
    }
  }
}

bool is(std::string_view name, std::string_view lower) {
  return name.size() == lower.size() && std::equal(name.begin(), name.end(), lower.begin(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == b;
         });
}

std::string_view line_of(std::string_view& text) {
  const auto end = text.find("\r\n");
  check(end != text.npos, "a line has no CRLF");
  const auto line = text.substr(0, end);
  text.remove_prefix(end + 2);
  check(line.find_first_of(std::string_view("\r\n\0", 3)) == line.npos, "CR, LF or NUL within a line");
  return line;
}

/// The body that chunks carry (RFC 9112 §7.1).
std::string dechunk(std::string_view text) {
  std::string body;
  while (true) {
    const auto line = line_of(text);
    const auto digits = line.substr(0, line.find_first_not_of("0123456789abcdefABCDEF"));
    check(!digits.empty() && digits.size() <= 16, "a chunk's size");
    const auto size = std::stoull(std::string(digits), nullptr, 16);
    if (size == 0) break;
    check(size <= text.size() && text.substr(size, 2) == "\r\n", "a chunk's end");
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
  while (!line_of(text).empty()) {
  }
  check(text.empty(), "bytes after the last chunk are part of the request");
  return body;
}

/// Judges an accepted request by its bytes.
void judge(const Read& request, std::string_view bytes, const RequestLimits& limits) {
  auto text = bytes.substr(request.begin, request.head_end - request.begin);
  check(text.ends_with("\r\n\r\n"), "the head's end");
  for (int empty = 0; text.starts_with("\r\n"); ++empty, text.remove_prefix(2)) check(empty < 4, "empty lines");
  check(text.size() <= limits.max_head, "the head's limit");
  const RequestHead& head = request.head;

  const auto start = line_of(text);
  std::string again(head.method());
  again.append(" ").append(head.target()).append(" HTTP/1.");
  check(start.substr(0, again.size()) == again && start.size() == again.size() + 1, "the request line");
  check(!head.method().empty() && head.method().find(' ') == head.method().npos, "the method");
  check(!head.target().empty() && head.target().size() <= limits.max_target, "the target's limit");
  for (const char c : head.target()) check(c > 0x20 && c < 0x7F && c != '#', "the target's characters");
  check(head.minor_version() == start.back() - '0', "the version");

  std::size_t hosts = 0, lengths = 0, codings = 0, count = 0;
  auto field = head.headers().begin();
  for (auto line = line_of(text); !line.empty(); line = line_of(text), ++count, ++field) {
    check(field != head.headers().end(), "a header line is no field");
    check(line.size() <= limits.max_header, "a field's limit");
    const auto name = line.substr(0, line.find(':'));
    check(name.size() < line.size() && (*field).name == name, "a field's name");
    for (const char c : name)
      check(c > 0x20 && c < 0x7F && std::string_view("\"(),/:;<=>?@[\\]{}").find(c) == name.npos,
            "a field's name is no token");
    auto value = line.substr(name.size() + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
    // A tab within what is no number is read as a space; nothing else may differ.
    std::string seen((*field).value);
    check(seen == value, "a field's value");
    hosts += is(name, "host") ? 1 : 0;
    if (is(name, "content-length")) {
      ++lengths;
      check(!value.empty() && value.find_first_not_of("0123456789") == value.npos, "Content-Length is no number");
    }
    if (is(name, "transfer-encoding")) {
      ++codings;
      check(is(value, "chunked"), "a transfer coding that is not known");
    }
  }
  check(text.empty() && field == head.headers().end(), "fields that no line has");
  check(count <= limits.max_headers, "the number of fields");
  check(hosts == 1 || (hosts == 0 && head.minor_version() == 0), "Host");
  check(lengths <= 1 && codings <= 1 && lengths + codings <= 1, "two lengths");
  check(codings == 0 || head.minor_version() > 0, "a transfer coding in HTTP/1.0");
  check(head.chunked() == (codings == 1) && (lengths == 1) == head.content_length().has_value(), "the head's own view");

  check(request.body.size() <= limits.max_body, "the body's limit");
  const auto behind = bytes.substr(request.head_end, request.end - request.head_end);
  if (codings > 0) {
    check(request.body == dechunk(behind), "the chunked body");
  } else {
    check(behind == request.body && request.body.size() == head.content_length().value_or(0), "the body");
  }
  check(head.has_body() || request.body.empty(), "a body that was not announced");
  head.keep_alive();
  head.is_websocket_upgrade();
  head.expects_continue();
  check(head.path().size() + head.query().size() <= head.target().size() + 1, "the path and the query");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const unsigned choice = input.byte();
  RequestLimits limits;
  if (choice & 1u) limits = {.max_target = 48, .max_header = 64, .max_head = 300, .max_headers = 6, .max_body = 40};
  const auto bytes = input.rest();
  const auto proxy = wire::parse_proxy_header(bytes);
  for (std::size_t i = 0; i < proxy.size; ++i) {
    check(wire::parse_proxy_header(bytes.substr(0, i)).state == wire::ProxyHeader::State::incomplete,
          "a part of a PROXY header");
  }
  const auto whole = read(bytes, limits, Cutter::whole());
  same(whole, read(bytes, limits, Cutter::any(choice)));
  if (bytes.size() <= 2048) same(whole, read(bytes, limits, Cutter::single()));
  for (const auto& request : whole) {
    if (request.state == State::complete) judge(request, bytes, limits);
    if (request.state != State::failed) continue;
    check(request.refusal.status >= 400 && request.refusal.status < 600 && request.refusal.close, "the refusal");
    check(!request.refusal.detail.empty() && !request.refusal.title().empty(), "the refusal's words");
  }
  return 0;
}
