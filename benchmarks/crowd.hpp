#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "file_limit.hpp"

/// Many clients in a process of their own: they connect, send one request each, and read and discard whatever comes,
/// or nothing. Their memory and most of their CPU time are not the server's.
class Crowd {
 public:
  enum class Reads : std::uint32_t { everything, nothing };

  /// Call before the program has threads.
  Crowd() {
    raise_file_limit();
    if (::pipe(commands_) != 0) throw std::runtime_error("pipe failed");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      run();
      ::_exit(0);
    }
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  ~Crowd() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (const int fd : commands_) ::close(fd);
  }

  /// Lets `count` clients connect to this port of 127.0.0.1 and send `request`. Returns at once.
  void connect(std::uint16_t port, std::uint32_t count, const std::string& request, Reads reads = Reads::everything) {
    const std::uint32_t head[] = {port, count, static_cast<std::uint32_t>(request.size()),
                                  static_cast<std::uint32_t>(reads)};
    write_all(commands_[1], head, sizeof head);
    write_all(commands_[1], request.data(), request.size());
  }

 private:
  static void write_all(int fd, const void* data, std::size_t size) {
    if (::write(fd, data, size) != static_cast<ssize_t>(size)) throw std::runtime_error("write failed");
  }

  void run() {
    const int epoll = ::epoll_create1(0);
    epoll_event command{};
    command.events = EPOLLIN;
    command.data.fd = commands_[0];
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, commands_[0], &command);
    std::vector<char> buffer(1 << 20);
    std::vector<epoll_event> events(1024);
    while (true) {
      const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == commands_[0]) {
          take_command(epoll, buffer);
        } else if (::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT) == 0) {
          ::close(fd);
        }
      }
    }
  }

  void take_command(int epoll, std::vector<char>& buffer) {
    std::uint32_t head[4];
    if (::read(commands_[0], head, sizeof head) != sizeof head) ::_exit(0);
    if (::read(commands_[0], buffer.data(), head[2]) != static_cast<ssize_t>(head[2])) ::_exit(1);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(head[0]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (std::uint32_t i = 0; i < head[1]; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
      const bool reads = head[3] == static_cast<std::uint32_t>(Reads::everything);
      if (!reads) {
        const int size = 4096;  // its kernel takes little before it is read
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
      }
      if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        std::perror("a client can't connect");
        ::_exit(1);
      }
      write_all(fd, buffer.data(), head[2]);
      if (!reads) continue;
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }

  int commands_[2]{};
  pid_t pid_ = 0;
};
