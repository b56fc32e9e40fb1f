#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

/// What servers send, taken apart. Each function takes whole elements from the front of `bytes`, leaves the rest, and
/// throws where the bytes are wrong.
namespace parsing {

/// The value of a header of a response's head, or an empty one.
inline std::string_view header(std::string_view head, std::string_view name) {
  for (std::size_t line = head.find("\r\n"); line + 2 < head.size(); line = head.find("\r\n", line + 2)) {
    std::string_view rest = head.substr(line + 2);
    if (rest.size() <= name.size() || rest[name.size()] != ':') continue;
    const bool same =
        std::equal(name.begin(), name.end(), rest.begin(), [](char a, char b) { return (a | 0x20) == (b | 0x20); });
    if (!same) continue;
    rest = rest.substr(name.size() + 1, rest.find("\r\n") - name.size() - 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    return rest;
  }
  return {};
}

/// The head of a response with the empty line, or nothing while it isn't whole.
inline std::string_view take_head(std::string_view& bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return {};
  const std::string_view head = bytes.substr(0, end + 4);
  bytes.remove_prefix(head.size());
  return head;
}

inline int status(std::string_view head) { return head.size() < 12 ? 0 : std::atoi(head.substr(9, 3).data()); }

/// A response with its body by `Content-Length`; false while it isn't whole.
inline bool take_response(std::string_view& bytes, std::string_view& head, std::string_view& body) {
  std::string_view rest = bytes;
  head = take_head(rest);
  if (head.empty()) return false;
  const auto length = static_cast<std::size_t>(std::atoll(std::string(header(head, "Content-Length")).c_str()));
  if (rest.size() < length) return false;
  body = rest.substr(0, length);
  bytes = rest.substr(length);
  return true;
}

/// A frame (RFC 6455 §5.2); false while it isn't whole.
inline bool take_frame(std::string_view& bytes, unsigned& opcode, std::string_view& content) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])); };
  if (bytes.size() < 2) return false;
  if ((byte(0) & 0xf0) != 0x80 || (byte(1) & 0x80) != 0) throw std::runtime_error("a frame of an unexpected kind");
  opcode = static_cast<unsigned>(byte(0) & 0xf);
  std::uint64_t length = byte(1);
  std::size_t begin = 2;
  if (length >= 126) {
    begin = length == 126 ? 4 : 10;
    if (bytes.size() < begin) return false;
    length = 0;
    for (std::size_t i = 2; i < begin; ++i) length = length << 8 | byte(i);
  }
  if (bytes.size() - begin < length) return false;
  content = bytes.substr(begin, static_cast<std::size_t>(length));
  bytes.remove_prefix(begin + content.size());
  return true;
}

/// A chunk (RFC 9112 §7.1); false while it isn't whole.
inline bool take_chunk(std::string_view& bytes, std::string_view& content) {
  const auto line = bytes.find("\r\n");
  if (line == std::string_view::npos) return false;
  std::size_t size = 0;
  for (const char c : bytes.substr(0, line)) {
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (digit < 0 || digit > 15) throw std::runtime_error("a chunk's size is no number");
    size = size * 16 + static_cast<std::size_t>(digit);
  }
  if (size == 0) throw std::runtime_error("the stream was ended");
  if (bytes.size() < line + 2 + size + 2) return false;
  content = bytes.substr(line + 2, size);
  bytes.remove_prefix(line + 2 + size + 2);
  return true;
}

/// An event's name and the last line of its data; false while it isn't whole.
inline bool take_event(std::string_view& text, std::string_view& name, std::string_view& data, bool& has_data) {
  name = data = {};
  has_data = false;
  const auto end = text.find("\n\n");
  if (end == std::string_view::npos) return false;
  std::string_view block = text.substr(0, end + 1);
  text.remove_prefix(end + 2);
  while (!block.empty()) {
    const auto length = block.find('\n');
    const std::string_view line = block.substr(0, length);
    block.remove_prefix(length + 1);
    if (line.starts_with("event: ")) name = line.substr(7);
    if (line.starts_with("data: ")) {
      data = line.substr(6);
      has_data = true;
    }
  }
  return true;
}

/// The next string member of this name in a polling answer, past which `json` is moved.
inline bool take_member(std::string_view& json, std::string_view name, std::string_view& value) {
  const auto at = json.find(name);
  if (at == std::string_view::npos) return false;
  json.remove_prefix(at + name.size());
  value = json.substr(0, json.find('"'));
  json.remove_prefix(value.size());
  return true;
}

}  // namespace parsing
