// The yardstick: a server on bare epoll that sends the bytes that downlink sends, already encoded, with one send for
// each subscriber: limit A for every message, limit B for every round of the event loop. It judges nothing that it
// reads, and knows no heartbeats, deadlines or bounds. Prints its port and its control port.
//   limit A|B [CHANNELS]

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "../control.hpp"
#include "wire.hpp"

namespace {

/// Encoded messages one after the other, and where each begins. Positions and numbers count from the first ever.
class Log {
 public:
  void append(const std::string& message) {
    bytes_ += message;
    begins_.push_back(end());
    if (bytes_.size() > limit) drop();
  }
  std::uint64_t end() const { return dropped_ + bytes_.size(); }
  /// Where the message after this one begins, or the oldest that is there.
  std::uint64_t after(std::uint64_t number) const {
    return number < first_ ? begins_.front() : begins_[static_cast<std::size_t>(number - first_)];
  }
  bool has(std::uint64_t position) const { return position >= dropped_; }
  std::string_view from(std::uint64_t position) const {
    return std::string_view(bytes_).substr(static_cast<std::size_t>(position - dropped_));
  }

 private:
  static constexpr std::size_t limit = std::size_t{16} << 20;

  void drop() {
    while (begins_.front() - dropped_ < limit / 2) {
      begins_.pop_front();
      ++first_;
    }
    bytes_.erase(0, static_cast<std::size_t>(begins_.front() - dropped_));
    dropped_ = begins_.front();
  }

  std::string bytes_;
  std::uint64_t dropped_ = 0;
  std::uint64_t first_ = 0;
  std::deque<std::uint64_t> begins_{0};
};

struct Channel;

struct Client {
  int fd;
  Channel* channel = nullptr;
  Log* log = nullptr;        // of a stream
  std::uint64_t cursor = 0;  // a stream's position in its log; a held poll's message number
  std::size_t place = 0;     // among the channel's streams
  bool blocked = false;      // waits until it can be written to
  bool held = false;         // a long poll without an answer yet
  std::string unread{};      // a request whose head isn't whole
};

struct Channel {
  std::uint64_t head = 0;  // the last message's number
  Log websocket{}, sse{}, polling{};
  std::vector<Client*> streams{};
  std::vector<Client*> held{};
  bool dirty = false;
  // The last polling answer, and what it was made for.
  std::string answer{};
  std::uint64_t answer_from = UINT64_MAX, answer_to = 0;
  std::string answer_date{};
};

class Server {
 public:
  Server(bool rounds, std::size_t channels) : rounds_(rounds), channels_(channels) {
    std::cout << listen(listener_) << ' ' << listen(control_listener_) << std::endl;
  }

  void run() {
    std::vector<epoll_event> events(512);
    while (true) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) take(events[static_cast<std::size_t>(i)]);
      closed_.clear();
      if (!rounds_) continue;
      for (Channel* channel : std::exchange(dirty_, {})) {
        channel->dirty = false;
        fan_out(*channel);
      }
    }
  }

 private:
  int listen(Client& listener) {
    listener.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener.fd, 4096) != 0) {
      throw std::runtime_error("the limit can't listen");
    }
    ::getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    return ntohs(address.sin_port);
  }

  void watch(Client& client, std::uint32_t events, int operation) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &client;
    ::epoll_ctl(epoll_, operation, client.fd, &event);
  }

  void take(const epoll_event& event) {
    Client& client = *static_cast<Client*>(event.data.ptr);
    if (&client == &listener_ || &client == &control_listener_) return accept(client);
    if (client.fd < 0) return;
    if ((event.events & EPOLLOUT) != 0) {
      client.blocked = false;
      watch(client, EPOLLIN, EPOLL_CTL_MOD);
      send_range(client);
    }
    if (client.fd >= 0 && (event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read(client);
  }

  void accept(Client& listener) {
    while (true) {
      const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto* client = new Client{fd};
      if (&listener == &control_listener_) controls_.push_back(client);
      watch(*client, EPOLLIN, EPOLL_CTL_ADD);
    }
  }

  void read(Client& client) {
    const ssize_t size = ::recv(client.fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return close(client);
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(size));
    if (std::find(controls_.begin(), controls_.end(), &client) != controls_.end()) {
      client.unread += bytes;
      return take_lines(client.unread, [&](const std::string& line) { command(line); });
    }
    if (client.log != nullptr) return;  // what clients send on a stream is dropped
    std::string joined;
    if (!client.unread.empty()) bytes = joined = std::exchange(client.unread, {}).append(bytes);
    for (std::size_t end; (end = bytes.find("\r\n\r\n")) != std::string_view::npos;) {
      request(client, bytes.substr(0, end + 2));
      if (client.fd < 0) return;
      bytes.remove_prefix(end + 4);
    }
    client.unread = bytes;
  }

  void request(Client& client, std::string_view head) {
    const wire::Request request(head);
    if (!request.allowed || request.channel >= channels_.size()) return close(client);
    Channel& channel = channels_[request.channel];
    client.channel = &channel;
    const std::uint64_t from = std::min(request.cursor.value_or(channel.head), channel.head);
    if (!request.key.empty() || request.streams) {
      client.log = request.streams ? &channel.sse : &channel.websocket;
      client.cursor = client.log->after(from);
      client.place = channel.streams.size();
      channel.streams.push_back(&client);
      send(client, request.streams ? wire::sse_opening(from) : wire::websocket_opening(request.key));
      send_range(client);
    } else if (request.waits && from == channel.head) {
      client.cursor = from;
      client.held = true;
      channel.held.push_back(&client);
    } else {
      answer(client, channel, from);
    }
  }

  void command(const std::string& line) {
    const auto command = parse_command(line);
    if (!command) return;
    for (std::uint64_t i = 0; i < command->count; ++i) {
      for (std::size_t c = 0; c < command->channels; ++c) publish(channels_.at(c), command->size);
    }
  }

  void publish(Channel& channel, std::size_t size) {
    const std::string data = payload(++channel.head, size);
    channel.websocket.append(wire::websocket_message(data));
    channel.sse.append(wire::sse_message(channel.head, data));
    channel.polling.append(wire::polling_message(channel.head, data) + ',');
    if (!rounds_) return fan_out(channel);
    if (!std::exchange(channel.dirty, true)) dirty_.push_back(&channel);
  }

  void fan_out(Channel& channel) {
    for (std::size_t i = 0; i < channel.streams.size(); ++i) {
      Client* client = channel.streams[i];
      if (!client->blocked) send_range(*client);
      if (client->fd < 0) --i;  // another one has taken its place
    }
    for (Client* client : std::exchange(channel.held, {})) {
      client->held = false;
      answer(*client, channel, client->cursor);
    }
  }

  void send_range(Client& client) {
    if (!client.log->has(client.cursor)) return close(client);
    const std::string_view range = client.log->from(client.cursor);
    if (range.empty()) return;
    const ssize_t sent = ::send(client.fd, range.data(), range.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return close(client);
    if (sent > 0) client.cursor += static_cast<std::uint64_t>(sent);
    if (sent == static_cast<ssize_t>(range.size())) return;
    client.blocked = true;
    watch(client, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
  }

  /// An opening or an answer, for which there is always room.
  void send(Client& client, std::string_view bytes) {
    if (::send(client.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
      close(client);
  }

  void answer(Client& client, Channel& channel, std::uint64_t from) {
    if (channel.answer_from != from || channel.answer_to != channel.head || channel.answer_date != wire::date()) {
      std::string_view messages = channel.polling.from(channel.polling.after(from));
      if (!messages.empty()) messages.remove_suffix(1);
      channel.answer = wire::polling_answer(channel.head, messages);
      channel.answer_from = from;
      channel.answer_to = channel.head;
      channel.answer_date = wire::date();
    }
    send(client, channel.answer);
  }

  void close(Client& client) {
    if (client.fd < 0) return;
    ::close(std::exchange(client.fd, -1));
    if (client.log != nullptr) {
      auto& streams = client.channel->streams;
      streams[client.place] = streams.back();
      streams[client.place]->place = client.place;
      streams.pop_back();
    }
    if (client.held) std::erase(client.channel->held, &client);
    std::erase(controls_, &client);
    closed_.emplace_back(&client);  // an event of the same round may still name it
  }

  const bool rounds_;
  const int epoll_ = ::epoll_create1(0);
  Client listener_{-1}, control_listener_{-1};
  std::vector<Channel> channels_;
  std::vector<Channel*> dirty_;
  std::vector<Client*> controls_;
  std::vector<std::unique_ptr<Client>> closed_;
  std::vector<char> buffer_ = std::vector<char>(65'536);
};

}  // namespace

int main(int argc, char** argv) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  Server server(argc > 1 && argv[1][0] == 'B', argc > 2 ? static_cast<std::size_t>(std::atoi(argv[2])) : 1);
  server.run();
}
