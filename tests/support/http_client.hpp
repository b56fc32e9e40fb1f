#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace downlink::testing {

/// Header lines of requests: for a WebSocket, for SSE, and with a cursor.
inline constexpr std::string_view upgrade =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
inline constexpr std::string_view event_stream = "Accept: text/event-stream\r\n";
inline std::string cursor_header(const std::string& id) { return "Last-Event-ID: " + id + "\r\n"; }

/// What a server answered.
struct Response {
  int minor_version = 1;
  int status = 0;
  std::string reason = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};

  /// The header of that name, if there is one; the first of several.
  std::optional<std::string> header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (same_name(key, name)) return value;
    }
    return std::nullopt;
  }
  /// How many headers have that name.
  std::size_t count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(headers.begin(), headers.end(), [&](const auto& field) { return same_name(field.first, name); }));
  }
  /// Whether a header is a list that has this item, in any of its lines.
  bool lists(std::string_view name, std::string_view item) const {
    for (const auto& [key, value] : headers) {
      if (!same_name(key, name)) continue;
      for (std::string_view rest = value; !rest.empty();) {
        auto part = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        while (part.starts_with(' ')) part.remove_prefix(1);
        while (part.ends_with(' ')) part.remove_suffix(1);
        if (same_name(part, item)) return true;
      }
    }
    return false;
  }

 private:
  static bool same_name(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
  }
};

/// A blocking client's connection to a server on this machine. Whatever it waits for has a deadline and throws past it.
class Connection {
 public:
  using Time = std::chrono::milliseconds;

  explicit Connection(std::uint16_t port, Time limit = std::chrono::seconds{5}) : patience_(limit) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
    ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  }
  /// Takes over a connected socket.
  static Connection over(int socket) { return Connection(Given{}, socket); }

  Connection(Connection&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        patience_(other.patience_),
        unread_(std::move(other.unread_)),
        end_(other.end_) {}
  Connection& operator=(Connection&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(patience_, other.patience_);
    std::swap(unread_, other.unread_);
    std::swap(end_, other.end_);
    return *this;
  }
  ~Connection() { close(); }

  int native_handle() const { return fd_; }
  void set_patience(Time time) { patience_ = time; }

  /// Sends all of it.
  void send(std::string_view bytes) {
    const auto deadline = Clock::now() + patience_;
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!wait(POLLOUT, deadline)) throw std::runtime_error("the peer takes no bytes");
      } else if (errno != EINTR) {
        fail("send");
      }
    }
  }
  /// Sends what the peer takes without waiting; how much that was. Stops quietly where the peer has closed.
  std::size_t try_send(std::string_view bytes) {
    const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }

  /// What has come, or comes next; empty once the peer has closed.
  std::string read_some() {
    if (unread_.empty()) receive(Clock::now() + patience_);
    return std::exchange(unread_, {});
  }
  /// Everything up to and including `mark`.
  std::string read_until(std::string_view mark) {
    const auto deadline = Clock::now() + patience_;
    std::size_t found = 0;
    while ((found = unread_.find(mark)) == std::string::npos) need(deadline);
    return take(found + mark.size());
  }
  std::string read_exactly(std::size_t size) {
    const auto deadline = Clock::now() + patience_;
    while (unread_.size() < size) need(deadline);
    return take(size);
  }
  /// Everything until the peer closes.
  std::string read_to_end() {
    const auto deadline = Clock::now() + patience_;
    while (receive(deadline)) {
    }
    return std::exchange(unread_, {});
  }
  /// Bytes that came and were not asked for yet.
  const std::string& unread() const { return unread_; }

  /// The next answer's status and headers.
  Response read_head() {
    Response response;
    const std::string text = read_until("\r\n\r\n");
    std::string_view rest = text;
    const auto line = next_line(rest);
    if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[8] != ' ') {
      throw std::runtime_error("no status line: " + std::string(line));
    }
    response.minor_version = line[7] - '0';
    response.status = std::stoi(std::string(line.substr(9, 3)));
    response.reason = line.substr(std::min<std::size_t>(13, line.size()));
    for (auto field = next_line(rest); !field.empty(); field = next_line(rest)) {
      const auto colon = field.find(": ");
      if (colon == std::string_view::npos) throw std::runtime_error("no header: " + std::string(field));
      response.headers.emplace_back(field.substr(0, colon), field.substr(colon + 2));
    }
    return response;
  }
  /// The next answer, with its body by Content-Length, by chunks, or up to the close. An interim answer is one too.
  Response read_response(bool head_request = false) {
    Response response = read_head();
    if (head_request || response.status < 200 || response.status == 204 || response.status == 304) return response;
    if (response.lists("Transfer-Encoding", "chunked")) {
      for (auto chunk = read_chunk(); !chunk.empty(); chunk = read_chunk()) response.body += chunk;
    } else if (const auto length = response.header("Content-Length")) {
      response.body = read_exactly(std::stoul(*length));
    } else {
      response.body = read_to_end();
    }
    return response;
  }
  /// One chunk's data; empty for the last one.
  std::string read_chunk() {
    const std::string line = read_until("\r\n");
    std::string data = read_exactly(std::stoul(line, nullptr, 16));
    if (read_exactly(2) != "\r\n") throw std::runtime_error("a chunk does not end with CRLF");
    return data;
  }

  enum class End { open, closed, reset };
  /// How the peer ended the connection within `time`; what came before the end stays to be read.
  End wait_for_end(Time time) {
    const auto deadline = Clock::now() + time;
    while (end_ == End::open && wait(POLLIN, deadline)) read_ready();
    return end_;
  }
  bool closed_by_peer(Time time = std::chrono::seconds{5}) { return wait_for_end(time) != End::open; }

  /// Says that nothing more will be sent.
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  /// Goes away without a word, by RST.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Given {};

  Connection(Given, int socket) : fd_(socket) { ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK); }

  [[noreturn]] static void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

  static std::string_view next_line(std::string_view& text) {
    const auto line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(line.size() + 2);
    return line;
  }

  std::string take(std::size_t size) {
    std::string taken = unread_.substr(0, size);
    unread_.erase(0, size);
    return taken;
  }

  void need(Clock::time_point deadline) {
    if (!receive(deadline)) throw std::runtime_error("the peer closed; unread: " + unread_.substr(0, 1000));
  }

  // Waits for bytes and keeps them. False once the peer has closed.
  bool receive(Clock::time_point deadline) {
    const auto before = unread_.size();
    while (end_ == End::open) {
      if (!wait(POLLIN, deadline)) throw std::runtime_error("nothing came in time; unread: " + unread_.substr(0, 1000));
      read_ready();
      if (unread_.size() > before) return true;
    }
    return false;
  }

  void read_ready() {
    char buffer[16384];
    const auto got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got > 0) {
      unread_.append(buffer, static_cast<std::size_t>(got));
    } else if (got == 0) {
      end_ = End::closed;
    } else if (errno == ECONNRESET || errno == EPIPE) {
      end_ = End::reset;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      fail("recv");
    }
  }

  bool wait(short events, Clock::time_point deadline) const {
    const auto left = std::chrono::duration_cast<Time>(deadline - Clock::now()).count();
    pollfd waiting{fd_, events, 0};
    return ::poll(&waiting, 1, static_cast<int>(std::max<Time::rep>(left, 0))) > 0;
  }

  int fd_ = -1;
  Time patience_ = std::chrono::seconds{5};
  std::string unread_;
  End end_ = End::open;
};

/// The text of a request: the headers each with their CRLF, `Host` added where there is none.
inline std::string request_text(std::string_view method, std::string_view target, std::string_view headers = {},
                                std::string_view body = {}) {
  std::string text;
  text.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
  if (headers.find("Host:") == std::string_view::npos) text += "Host: localhost\r\n";
  text += headers;
  if (!body.empty() || method == "POST") text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  text += "\r\n";
  text += body;
  return text;
}

/// One request over a connection of its own.
inline Response request(std::uint16_t port, std::string_view method, std::string_view target,
                        std::string_view headers = {}, std::string_view body = {}) {
  Connection connection(port);
  connection.send(request_text(method, target, headers, body));
  return connection.read_response(method == "HEAD");
}
inline Response get(std::uint16_t port, std::string_view target, std::string_view headers = {}) {
  return request(port, "GET", target, headers);
}
inline Response post(std::uint16_t port, std::string_view target, std::string_view body,
                     std::string_view headers = {}) {
  return request(port, "POST", target, headers, body);
}

}  // namespace downlink::testing
