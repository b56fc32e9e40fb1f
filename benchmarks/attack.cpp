// What healthy subscribers feel of 5,000 attackers at once, a third each slow with their head, with their body, and
// with reading, and when each attacker loses its connection. Server, attackers and healthy clients are processes of
// their own. Prints one line for each round and the medians; see README.md here.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <downlink/downlink.hpp>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "crowd.hpp"

namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds timeout{8'000};
constexpr std::size_t arrivals_per_second = 1'000;
constexpr auto publish_interval = 10ms;
constexpr int healthy = 50;  // of SSE, and as many of WebSocket
constexpr std::string_view head_end = " HTTP/1.1\r\nHost: a\r\n";

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

double milliseconds(Steady::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

template <class T>
void tell(int pipe, const T& value) {
  if (::write(pipe, &value, sizeof value) != sizeof value) std::exit(1);
}
template <class T>
bool hear(int pipe, T& value) {
  return ::read(pipe, &value, sizeof value) == sizeof value;
}

/// A process of its own, with a pipe to it and one back.
class Child {
 public:
  template <class Main>
  explicit Child(Main main) {
    int down[2], up[2];
    if (::pipe(down) != 0 || ::pipe(up) != 0) throw std::runtime_error("pipe failed");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      main(down[0], up[1]);
      ::_exit(0);
    }
    to_ = down[1];
    from_ = up[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int to() const { return to_; }
  int from() const { return from_; }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  int from_ = -1;
};

/// Publishes the time to `/feed` every few milliseconds, and has a megabyte to read at `/big`.
void serve(int, int up) {
  downlink::net::io_context io{1};
  downlink::Channel feed, big;
  const downlink::Publisher filler(big);
  for (int i = 0; i < 16; ++i) filler.publish({.data = std::string(64 << 10, 'x')});
  downlink::EndpointOptions options;
  options.head_timeout = options.body_timeout = options.stream.write_timeout = timeout;
  options.stream.heartbeat = 10min;  // the clients here answer no pings
  options.one_thread = true;
  downlink::Server<downlink::WebSocket, downlink::Sse, downlink::ShortPolling> server{
      io, {.max_accepts_per_second = 2 * arrivals_per_second, .endpoint = options}};
  server.route("/feed", feed);
  server.route("/big", big);
  server.on_message("/feed", [](const downlink::Peer&, const downlink::Inbound&) {});
  server.start();
  tell(up, server.port());
  std::thread publishing([publisher = downlink::Publisher(feed)] {
    for (auto next = Steady::now();; std::this_thread::sleep_until(next += publish_interval)) {
      const std::string now = std::to_string(Steady::now().time_since_epoch().count());
      publisher.publish({.data = "t=" + now + ";" + std::string(100, 'x')});
    }
  });
  io.run();
}

/// A connection to the server from that address of the loopback network, so that ports do not run out.
int connect_to(std::uint16_t port, int source, int receive_buffer) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (receive_buffer > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(source));
  bool connected = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected = connected && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (!connected) {
    std::perror("a client can't connect");
    std::exit(1);
  }
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

/// When the attackers of each kind lost their connections, in milliseconds after their first byte.
struct Losses {
  struct Kind {
    double first = 0, median = 0, last = 0;
    int kept = 0;  // not within three times the time-out
  };
  std::array<Kind, 3> kinds;
};

/// What the attackers tell as they go: that all are there, that the first has lost its connection, that all have.
struct Progress {
  enum { there, leaving, gone } stage = there;
  Losses losses = {};
};

class Attack {
 public:
  Attack(std::uint16_t port, std::size_t count, int round)
      : port_(port), count_(count), round_(round), epoll_(::epoll_create1(0)) {}
  ~Attack() {
    for (const auto& client : clients_) ::close(client.fd);
    ::close(epoll_);
  }

  /// Connects them all, and goes on, a byte a second from each of those that send, until all have lost their
  /// connections. `tell_stage` is told when all are there and when the first has lost its own.
  template <class Tell>
  Losses run(Tell&& tell_stage) {
    std::size_t left = count_;
    auto end = Steady::time_point::max();
    std::array<epoll_event, 256> events;
    for (std::size_t turn = 0; left > 0 && Steady::now() < end; turn = (turn + 1) % 100) {
      const auto next = Steady::now() + 10ms;
      for (std::size_t i = 0; i < arrivals_per_second / 100 && clients_.size() < count_; ++i) {
        add();
        if (clients_.size() < count_) continue;
        tell_stage(Progress::there);
        end = Steady::now() + 3 * timeout;
      }
      for (std::size_t i = turn; i < clients_.size(); i += 100) {
        if (clients_[i].kind != 2 && clients_[i].lost < 0) send(clients_[i].fd, "E");
      }
      while (Steady::now() < next) {
        const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 5);
        for (int i = 0; i < count; ++i) {
          auto& client = clients_[events[static_cast<std::size_t>(i)].data.u32];
          ::epoll_ctl(epoll_, EPOLL_CTL_DEL, client.fd, nullptr);
          client.lost = milliseconds(Steady::now() - client.begin);
          if (left-- == count_) tell_stage(Progress::leaving);
        }
      }
    }
    Losses losses;
    for (int kind = 0; kind < 3; ++kind) {
      std::vector<double> times;
      auto& told = losses.kinds[static_cast<std::size_t>(kind)];
      for (const auto& client : clients_) {
        if (client.kind != kind) continue;
        if (client.lost >= 0) times.push_back(client.lost);
        told.kept += client.lost < 0;
      }
      told.first = quantile(times, 0), told.median = quantile(times, 0.5), told.last = quantile(times, 1);
    }
    return losses;
  }

 private:
  struct Client {
    int fd;
    int kind;
    Steady::time_point begin;
    double lost;
  };

  void add() {
    static const std::string slow_body = "POST /feed" + std::string(head_end) + "Content-Length: 100000\r\n\r\n";
    static const std::string poll = "GET /big?cursor=earliest" + std::string(head_end) + "\r\n";
    static const std::string stream =
        "GET /big?cursor=earliest" + std::string(head_end) + "Accept: text/event-stream\r\n\r\n";
    const auto i = clients_.size();
    const int kind = static_cast<int>(i % 3);
    const std::string first = kind == 0 ? "G" : kind == 1 ? slow_body : i % 2 == 0 ? poll : stream;
    const int fd = connect_to(port_, 2 + round_ * 4 + static_cast<int>(i % 4), kind == 2 ? 4096 : 0);
    clients_.push_back({fd, kind, Steady::now(), -1});
    send(fd, first);
    epoll_event event{};
    event.events = EPOLLRDHUP;
    event.data.u32 = static_cast<std::uint32_t>(i);
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  static void send(int fd, std::string_view bytes) { ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

  std::uint16_t port_;
  std::size_t count_;
  int round_;
  int epoll_;
  std::vector<Client> clients_;
};

void attack(int down, int up) {
  // The cores are for the server and the healthy clients: what is looked for is what the server does to them.
  const sched_param usual{};
  if (::sched_setscheduler(0, SCHED_OTHER, &usual) != 0 || ::setpriority(PRIO_PROCESS, 0, 10) != 0) return;
  int order[3];
  while (hear(down, order)) {
    Attack attack(static_cast<std::uint16_t>(order[0]), static_cast<std::size_t>(order[1]), order[2]);
    const Losses losses = attack.run([up](auto stage) { tell(up, Progress{stage}); });
    tell(up, Progress{Progress::gone, losses});
  }
}

/// The subscribers that are measured.
class Healthy {
 public:
  explicit Healthy(std::uint16_t port) : epoll_(::epoll_create1(0)) {
    const std::string get = "GET /feed" + std::string(head_end);
    for (int i = 0; i < 2 * healthy; ++i) {
      const int fd = connect_to(port, 1, 0);
      const std::string request =
          get + (i % 2 == 0 ? "Accept: text/event-stream\r\n\r\n"
                            : "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
      if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) std::exit(1);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = static_cast<std::uint32_t>(clients_.size());
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
      clients_.push_back({fd, {}});
    }
  }

  /// Reads until `done` says so, and gives how long each message was on its way, in milliseconds.
  template <class Done>
  std::vector<double> measure(Done&& done) {
    std::vector<double> times;
    std::array<epoll_event, 256> events;
    while (!done()) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 20);
      for (int i = 0; i < count; ++i) read(clients_[events[static_cast<std::size_t>(i)].data.u32], times);
    }
    return times;
  }

 private:
  struct Client {
    int fd;
    std::string text;
  };

  static void read(Client& client, std::vector<double>& times) {
    char buffer[16384];
    const auto got = ::recv(client.fd, buffer, sizeof buffer, 0);
    const auto now = Steady::now();
    if (got <= 0) {
      std::cerr << "a healthy subscriber lost its connection\n";
      std::exit(1);
    }
    client.text.append(buffer, static_cast<std::size_t>(got));
    std::size_t end = 0;
    for (auto at = client.text.find("t="); at != std::string::npos; at = client.text.find("t=", end)) {
      const auto semicolon = client.text.find(';', at);
      if (semicolon == std::string::npos) break;
      const auto sent =
          Steady::time_point(Steady::duration(std::stoll(client.text.substr(at + 2, semicolon - at - 2))));
      times.push_back(milliseconds(now - sent));
      end = semicolon;
    }
    client.text.erase(0, end);
  }

  int epoll_;
  std::vector<Client> clients_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = std::clamp(argc > 1 ? std::atoi(argv[1]) : 5, 1, 30);
  const int attackers = std::clamp(argc > 2 ? std::atoi(argv[2]) : 5'000, 3, 15'000);
  raise_file_limit();
  Child server(serve);
  std::uint16_t port = 0;
  if (!hear(server.from(), port)) return 1;
  Child attacking(attack);
  ::fcntl(attacking.from(), F_SETFL, O_NONBLOCK);
  Healthy clients(port);
  const auto for_a_while = [](Steady::duration time) {
    return [end = Steady::now() + time] { return Steady::now() >= end; };
  };
  clients.measure(for_a_while(1s));

  // Without attackers; then while they come, while they are there, while they leave, and all of the three.
  constexpr std::array<const char*, 5> names = {"none", "coming", "there", "leaving", "all"};
  std::array<std::vector<double>, 5> p99;
  std::cout << std::fixed << std::setprecision(2);
  for (int round = 0; round < rounds; ++round) {
    std::array<std::vector<double>, 5> times;
    times[0] = clients.measure(for_a_while(timeout + 2s));
    tell(attacking.to(), std::array<int, 3>{port, attackers, round});
    Progress progress;
    for (std::size_t stage = 1; stage <= 3; ++stage) {
      times[stage] = clients.measure([&] { return hear(attacking.from(), progress); });
      times[4].insert(times[4].end(), times[stage].begin(), times[stage].end());
    }
    clients.measure(for_a_while(1s));
    std::cout << "p50/p99 ms:";
    for (std::size_t i = 0; i < times.size(); ++i) {
      p99[i].push_back(quantile(times[i], 0.99));
      std::cout << " " << names[i] << " " << quantile(times[i], 0.5) << "/" << p99[i].back();
    }
    std::cout << "; connections lost after s (first, median, last):";
    for (std::size_t kind = 0; kind < 3; ++kind) {
      const auto& lost = progress.losses.kinds[kind];
      std::cout << (kind == 0   ? " head "
                    : kind == 1 ? ", body "
                                : ", read ")
                << lost.first / 1000 << " " << lost.median / 1000 << " " << lost.last / 1000;
      if (lost.kept > 0) std::cout << " (" << lost.kept << " not at all)";
    }
    std::cout << std::endl;
  }
  std::cout << "median p99:";
  for (std::size_t i = 0; i < p99.size(); ++i) {
    std::cout << " " << names[i] << " " << quantile(p99[i], 0.5) << " ms";
    if (i > 0) std::cout << " (ratio " << quantile(p99[i], 0.5) / quantile(p99[0], 0.5) << ")";
  }
  std::cout << std::endl;
}
