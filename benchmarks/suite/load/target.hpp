#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "../control.hpp"

inline std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

/// Connects to a port of 127.0.0.1 from 127.0.0.`from`: each source address has ports of its own.
inline int connect_to(std::uint16_t port, unsigned from) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("no socket for one more client");
  }
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("a client can't connect");
  }
  return fd;
}

/// What the server's processes, with all their threads, have used so far.
struct Usage {
  std::int64_t cpu_ns = 0;
  // The kernel's split, which it counts by ticks: it says something only over many bursts.
  std::int64_t user_ticks = 0, system_ticks = 0;

  Usage operator-(const Usage& other) const {
    return {cpu_ns - other.cpu_ns, user_ticks - other.user_ticks, system_ticks - other.system_ticks};
  }
};

/// The server that is measured: its processes, and how it is made to publish.
class Target {
 public:
  /// With `nchan`, publishing is a request for each message, to the server's own port.
  Target(std::vector<pid_t> pids, std::uint16_t control, bool nchan)
      : pids_(std::move(pids)), nchan_(nchan), control_(connect_to(control, 1)) {}

  Usage usage() const {
    Usage sum;
    for (const pid_t pid : pids_) {
      clockid_t clock{};
      timespec used{};
      if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) {
        throw std::runtime_error("the server is gone");
      }
      sum.cpu_ns += used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec;
      std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
      std::string word;
      std::getline(stat, word, ')');  // the name may hold spaces
      for (int field = 3; field <= 13; ++field) stat >> word;
      std::int64_t user = 0, system = 0;
      stat >> user >> system;
      sum.user_ticks += user;
      sum.system_ticks += system;
    }
    return sum;
  }

  /// Waits until the server has nothing more to do, and says what it has used.
  Usage settled_usage() const {
    Usage last = usage();
    for (int i = 0; i < 500; ++i) {
      ::usleep(2'000);
      const bool sleeps = asleep();
      const Usage now = usage();
      if (sleeps && now.cpu_ns - last.cpu_ns < 20'000) return now;
      last = now;
    }
    return last;
  }

  /// Lets it publish `count` messages, numbered from `first`, to each of its first `channels` channels.
  void publish(std::uint64_t first, std::uint64_t count, std::size_t size, std::size_t channels) {
    std::string text;
    if (nchan_) {
      for (std::uint64_t i = 0; i < count; ++i) {
        for (std::size_t c = 0; c < channels; ++c) {
          const std::string body = payload(first + i, size);
          text += "POST /publish/" + std::to_string(c) + " HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n" +
                  "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
        }
      }
    } else {
      text = "publish " + std::to_string(count) + ' ' + std::to_string(size) + ' ' + std::to_string(channels) + '\n';
    }
    write(text);
  }

  /// A line of the server's own, and one line of an answer.
  void write(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t sent = ::send(control_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
      if (sent < 0) throw std::runtime_error("the control connection is gone");
      done += static_cast<std::size_t>(sent);
      drop_answers();
    }
  }
  std::string read_line() {
    std::string line;
    for (char c = 0; ::recv(control_, &c, 1, 0) == 1 && c != '\n';) line += c;
    return line;
  }

  /// What nchan answers to publishers is not looked at: what subscribers get says whether it published.
  void drop_answers() {
    if (!nchan_) return;
    char buffer[16'384];
    while (::recv(control_, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
    }
  }

 private:
  /// Whether every thread waits for something other than a core.
  bool asleep() const {
    for (const pid_t pid : pids_) {
      for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        std::ifstream stat(task.path() / "stat");
        const std::string line(std::istreambuf_iterator<char>(stat), {});
        const auto state = line.rfind(") ") + 2;
        if (line[state] == 'R') return false;
      }
    }
    return true;
  }

  std::vector<pid_t> pids_;
  bool nchan_;
  int control_;
};
