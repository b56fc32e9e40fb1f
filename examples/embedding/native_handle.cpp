// The library beside a server that knows nothing of Asio: here a thread that accepts and reads with the system's own
// calls. What is the library's it hands over as a native handle and the raw bytes read so far.
//   curl http://127.0.0.1:8080/
//   curl -N http://127.0.0.1:8080/prices

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

using Endpoint = downlink::Endpoint<downlink::Sse, downlink::ShortPolling>;

int listen_at(std::uint16_t& port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 64) != 0) {
    throw std::runtime_error("can't listen");
  }
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return listener;
}

// The other framework's part: it reads until it can tell whose the request is.
void serve(int client, Endpoint& endpoint) {
  std::string read;
  char room[4096];
  while (read.find("\r\n") == std::string::npos && read.size() < sizeof room) {
    const auto got = ::recv(client, room, sizeof room, 0);
    if (got <= 0) {
      ::close(client);
      return;
    }
    read.append(room, static_cast<std::size_t>(got));
  }
  if (read.find(" /prices") < read.find("\r\n")) {
    endpoint.adopt(client, AF_INET, std::move(read));  // from any thread; the handle is the library's from here on
    return;
  }
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nother\n";
  ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
  ::close(client);
}

int main(int argc, char** argv) try {
  auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  const auto work = asio::make_work_guard(io);
  downlink::Channel prices;
  Endpoint endpoint{io};
  endpoint.route("/prices", prices);
  downlink::Publisher{prices}.publish({.data = "42000"});
  std::jthread loop{[&io] { io.run(); }};

  const int listener = listen_at(port);
  std::cout << "listening on http://127.0.0.1:" << port << std::endl;
  while (true) {
    const int client = ::accept(listener, nullptr, nullptr);
    if (client >= 0) serve(client, endpoint);
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
