#pragma once

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "../control.hpp"

/// The bytes that downlink sends, made by hand (WIRE §3 to §5).
namespace wire {

/// As long as downlink's epochs are.
inline const std::string epoch = "limit00000";

inline std::string id(std::uint64_t number) { return epoch + '-' + std::to_string(number); }

inline std::string websocket_message(const std::string& data) {
  std::string frame = "\x81";
  const auto put = [&](int shift) { frame += static_cast<char>(data.size() >> shift); };
  if (data.size() < 126) {
    put(0);
  } else if (data.size() < 65'536) {
    frame += '\x7e';
    for (const int shift : {8, 0}) put(shift);
  } else {
    frame += '\x7f';
    for (const int shift : {56, 48, 40, 32, 24, 16, 8, 0}) put(shift);
  }
  return frame + data;
}

inline std::string chunk(const std::string& data) {
  char head[20];
  std::snprintf(head, sizeof head, "%zx\r\n", data.size());
  return head + data + "\r\n";
}

inline std::string sse_message(std::uint64_t number, const std::string& data) {
  return chunk("id: " + id(number) + "\ndata: " + data + "\n\n");
}

/// One of the messages of a polling answer.
inline std::string polling_message(std::uint64_t number, const std::string& data) {
  return "{\"id\":\"" + id(number) + "\",\"data\":\"" + data + "\"}";
}

/// The header `Date`, made anew once a second.
inline const std::string& date() {
  static std::time_t last = 0;
  static std::string line;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != last) {
    last = now.tv_sec;
    std::tm utc{};
    ::gmtime_r(&last, &utc);
    char text[64];
    line.assign(text, std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc));
  }
  return line;
}

inline std::string websocket_opening(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  char accept[32];
  ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(accept), digest, sizeof digest);
  return "HTTP/1.1 101 Switching Protocols\r\n" + date() + "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
         "Sec-WebSocket-Accept: " + accept + "\r\nVary: Origin\r\n\r\n";
}

inline std::string sse_opening(std::uint64_t number) {
  return "HTTP/1.1 200 OK\r\n" + date() +
         "Content-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"
         "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nVary: Origin\r\n\r\n" +
         chunk("retry: 3000\n\n: open\n\nid: " + id(number) + "\nevent: downlink.open\ndata: \n\n");
}

inline std::string polling_answer(std::uint64_t head, std::string_view messages) {
  const std::string body = "{\"cursor\":\"" + id(head) + "\",\"messages\":[" + std::string(messages) + "]}";
  return "HTTP/1.1 200 OK\r\n" + date() + "ETag: \"" + id(head) +
         "\"\r\nCache-Control: no-cache, no-store\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nVary: Origin\r\n\r\n" + body;
}

/// `/c/7` is channel 7.
inline std::optional<std::size_t> channel_of(std::string_view path) {
  std::size_t channel = 0;
  if (!path.starts_with("/c/")) return {};
  const char* end = path.data() + path.size();
  if (std::from_chars(path.data() + 3, end, channel).ptr != end) return {};
  return channel;
}

/// What a request asks for; views into it.
struct Request {
  /// Of a request whose head is whole. Finds what it looks for and judges nothing.
  explicit Request(std::string_view head) {
    std::string_view target = head.substr(4, head.find(' ', 4) - 4);
    const auto mark = target.find('?');
    channel = channel_of(target.substr(0, mark)).value_or(SIZE_MAX);
    const std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark);
    waits = query.find("wait=") != std::string_view::npos;
    cursor = number_of(after(query, "cursor="));
    if (!cursor) cursor = number_of(after(head, "\r\nLast-Event-ID: "));
    key = line(after(head, "\r\nSec-WebSocket-Key: "));
    streams = line(after(head, "\r\nAccept: ")) == "text/event-stream";
    allowed = line(after(head, "\r\nAuthorization: ")) == authorization;
  }

  std::size_t channel = 0;
  std::optional<std::uint64_t> cursor{};
  std::string_view key{};
  bool streams = false;
  bool waits = false;
  bool allowed = false;

 private:
  static std::string_view after(std::string_view text, std::string_view name) {
    const auto at = text.find(name);
    return at == std::string_view::npos ? std::string_view{} : text.substr(at + name.size());
  }
  static std::string_view line(std::string_view text) { return text.substr(0, text.find('\r')); }
  static std::optional<std::uint64_t> number_of(std::string_view cursor) {
    if (!cursor.starts_with(epoch)) return {};
    return std::strtoull(cursor.data() + epoch.size() + 1, nullptr, 10);
  }
};

}  // namespace wire
