// What TLS costs beside TCP: memory of an idle subscriber, against a connection of OpenSSL's alone; CPU time of a
// delivery; CPU time of a connection that turns out to be none. Prints one line for each figure; see README.md here.
//   benchmark_tls [SUBSCRIBERS]

#include <openssl/ssl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <downlink/tls.hpp>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "crowd.hpp"
#include "figures.hpp"
#include "fixture.hpp"

namespace {

using namespace std::chrono_literals;

/// A certificate for this run.
struct Files {
  Files() {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "
        "/CN=localhost -keyout " +
        key() + " -out " + certificate() + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl made no certificate");
  }
  ~Files() { std::filesystem::remove_all(folder); }
  std::string certificate() const { return folder + "/cert.pem"; }
  std::string key() const { return folder + "/key.pem"; }

  std::string folder = [] {
    char name[] = "/tmp/downlink-benchmark-XXXXXX";
    return std::string(::mkdtemp(name));
  }();
};

int listen_socket(std::uint16_t& port, bool connects) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* given = reinterpret_cast<const sockaddr*>(&address);
  if ((connects ? ::connect(fd, given, size) : ::bind(fd, given, size)) != 0) throw std::runtime_error("no socket");
  if (!connects) ::listen(fd, 4096);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  if (!connects) port = ntohs(address.sin_port);
  return fd;
}

/// Clients over TLS in a process of their own: they shake hands, send a request, and from then on drop what comes
/// without deciphering it. Connects one after the other; `wait` returns when all have.
class TlsCrowd {
 public:
  TlsCrowd(std::uint16_t port, std::uint32_t count, const std::string& request) {
    if (::pipe(done_) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    SSL_CTX* context = ::SSL_CTX_new(::TLS_client_method());
    const int epoll = ::epoll_create1(0);
    for (std::uint32_t i = 0; i < count; ++i) {
      const int fd = listen_socket(port, true);
      SSL* ssl = ::SSL_new(context);
      ::SSL_set_fd(ssl, fd);
      if (::SSL_connect(ssl) != 1 || ::SSL_write(ssl, request.data(), static_cast<int>(request.size())) <= 0)
        ::_exit(1);
      ::SSL_free(ssl);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    if (::write(done_[1], "x", 1) != 1) ::_exit(1);
    std::vector<char> buffer(1 << 20);
    std::vector<epoll_event> events(1024);
    while (true) {
      const int ready = ::epoll_wait(epoll, events.data(), 1024, -1);
      for (int i = 0; i < ready; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT) == 0) ::close(fd);
      }
    }
  }
  TlsCrowd(const TlsCrowd&) = delete;
  TlsCrowd& operator=(const TlsCrowd&) = delete;
  ~TlsCrowd() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (const int fd : done_) ::close(fd);
  }
  void wait() const {
    char byte = 0;
    if (::read(done_[0], &byte, 1) != 1) throw std::runtime_error("the clients failed");
  }

 private:
  int done_[2]{};
  pid_t pid_ = 0;
};

/// Has a server speak TLS where there are files for it.
std::function<void(Fixture::Server&)> speak_tls(const Files* files) {
  return [files](Fixture::Server& server) {
    if (files) downlink::enable_tls(server, downlink::Tls{{.certificate = files->certificate(), .key = files->key()}});
  };
}

double downlink_memory(const Files* files, std::uint32_t count, const std::string& request) {
  Fixture fixture(speak_tls(files));
  std::optional<TlsCrowd> tls[2];
  Crowd plain;
  double before = 0;
  std::uint32_t all = 0;
  for (const std::uint32_t part : {100U, count}) {
    before = rss_bytes();
    if (files) {
      tls[all > 0].emplace(fixture.server.port(), part, request);
    } else {
      plain.connect(fixture.server.port(), part, request);
    }
    all += part;
    fixture.run_until(all);
  }
  return (rss_bytes() - before) / count;
}

/// The same of connections that are OpenSSL's alone, with the settings that the library gives it.
double openssl_memory(const Files& files, std::uint32_t count) {
  std::uint16_t port = 0;
  const int listener = listen_socket(port, false);
  SSL_CTX* context = ::SSL_CTX_new(::TLS_server_method());
  ::SSL_CTX_use_certificate_chain_file(context, files.certificate().c_str());
  ::SSL_CTX_use_PrivateKey_file(context, files.key().c_str(), SSL_FILETYPE_PEM);
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  double before = 0;
  std::vector<std::unique_ptr<TlsCrowd>> crowds;
  for (const std::uint32_t part : {100U, count}) {
    crowds.push_back(std::make_unique<TlsCrowd>(port, part, sse_request));
    before = rss_bytes();
    for (std::uint32_t i = 0; i < part; ++i) {
      const int fd = ::accept(listener, nullptr, nullptr);
      SSL* ssl = ::SSL_new(context);
      ::SSL_set_fd(ssl, fd);
      char room[4096] = {};
      if (::SSL_accept(ssl) != 1 || ::SSL_read(ssl, room, sizeof room) <= 0 || ::SSL_write(ssl, room, 300) <= 0) {
        throw std::runtime_error("a handshake failed");
      }
    }
    crowds.back()->wait();
  }
  return (rss_bytes() - before) / count;
}

struct Cpu {
  double user;
  double all;
};
Cpu cpu() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return 1e6 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec);
  };
  return {micros(usage.ru_utime), micros(usage.ru_utime) + micros(usage.ru_stime)};
}

/// Microseconds of CPU time for each delivery to 1000 WebSockets, with `batch` messages published at a time.
Cpu delivery(const Files* files, std::size_t size, int batch, int rounds) {
  constexpr std::uint32_t subscribers = 1000;
  Fixture fixture(speak_tls(files));
  std::optional<TlsCrowd> tls;
  std::optional<Crowd> plain;
  if (files) {
    tls.emplace(fixture.server.port(), subscribers, websocket_request);
  } else {
    plain.emplace().connect(fixture.server.port(), subscribers, websocket_request);
  }
  fixture.run_until(subscribers);
  const downlink::Publisher publisher(fixture.channel);
  std::uint64_t due = fixture.server.stats().messages_sent;
  const auto round = [&] {
    for (int i = 0; i < batch; ++i) publisher.publish({.data = std::string(size, 'x')});
    due += subscribers * static_cast<std::uint64_t>(batch);
    while (fixture.server.stats().messages_sent < due) fixture.io.run_one();
    std::this_thread::sleep_for(2ms);  // the clients take it
  };
  for (int i = 0; i < 20; ++i) round();
  const Cpu begin = cpu();
  for (int i = 0; i < rounds; ++i) round();
  const Cpu end = cpu();
  const double deliveries = static_cast<double>(rounds) * batch * subscribers;
  return {(end.user - begin.user) / deliveries, (end.all - begin.all) / deliveries};
}

/// Microseconds of CPU time for a connection that sends `bytes` and is turned away.
double refusal(const Files* files, const std::string& bytes) {
  constexpr int count = 5000;
  Fixture fixture(speak_tls(files));
  auto port = fixture.server.port();
  std::thread client([&, port]() mutable {
    char room[4096];
    for (int i = 0; i < count; ++i) {
      const int fd = listen_socket(port, true);
      if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) break;
      while (::recv(fd, room, sizeof room, 0) > 0) {
      }
      ::close(fd);
    }
  });
  while (fixture.server.stats().accepted < count || fixture.server.connection_count() > 0) fixture.io.run_one_for(10ms);
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  client.join();
  return (1e6 * static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
          static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)) /
         count;
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 5000);
  raise_file_limit();
  const Files files;
  apart([&] {
    std::cout << "memory of a connection of OpenSSL's alone: " << openssl_memory(files, count) << " bytes\n";
  });
  for (const bool websocket : {true, false}) {
    for (const Files* which : {static_cast<const Files*>(nullptr), &files}) {
      apart([&] {
        std::cout << "memory of an idle subscriber, " << (websocket ? "WebSocket" : "SSE")
                  << (which ? ", TLS: " : ", TCP: ")
                  << downlink_memory(which, count, websocket ? websocket_request : sse_request) << " bytes\n";
      });
    }
  }
  for (const auto& [size, batch, rounds] : {std::tuple{std::size_t{128}, 1, 300},
                                            {std::size_t{128}, 64, 100},
                                            {std::size_t{4096}, 1, 200},
                                            {std::size_t{4096}, 16, 40}}) {
    for (const Files* which : {static_cast<const Files*>(nullptr), &files}) {
      apart([&, size = size, batch = batch, rounds = rounds] {
        const Cpu cost = delivery(which, size, batch, rounds);
        std::cout << "a delivery of " << size << " bytes, " << batch << " at a time" << (which ? ", TLS: " : ", TCP: ")
                  << cost.all << " us, of which user space " << cost.user << " us\n";
      });
    }
  }
  const std::string garbage = "no request at all\r\n\r\n";
  apart([&] { std::cout << "a plain bad request: " << refusal(nullptr, garbage) << " us\n"; });
  apart([&] { std::cout << "the same bytes where TLS is spoken: " << refusal(&files, garbage) << " us\n"; });
}
