// The library inside an application that has an HTTP server of its own: the application accepts and reads requests, and
// hands over those that are the library's. After a poll the connection comes back; a stream keeps it.
//   curl http://127.0.0.1:8080/
//   curl 'http://127.0.0.1:8080/prices?cursor=earliest' http://127.0.0.1:8080/     both on one connection
//   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/prices

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/detached.hpp>
#include <asio/read_until.hpp>
#include <asio/this_coro.hpp>
#include <asio/write.hpp>
#include <downlink/downlink.hpp>

using asio::ip::tcp;
using Endpoint = downlink::Endpoint<downlink::Sse, downlink::LongPolling, downlink::ShortPolling>;

// The application's way to read a request's head: all that it needs is in there. Nothing where the text is none.
std::optional<downlink::RequestHead> parse_head(std::string_view text) {
  const auto next_line = [&text] {
    const auto line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(line.size() + 2);
    return line;
  };
  const auto request = next_line();
  const auto first = request.find(' ');
  const auto last = request.rfind(' ');
  if (first == 0 || first == last) return std::nullopt;
  const auto version = request.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return std::nullopt;
  downlink::RequestHead head{request.substr(0, first), request.substr(first + 1, last - first - 1),
                             version == "HTTP/1.1" ? 1 : 0};
  for (auto line = next_line(); !line.empty(); line = next_line()) {
    const auto colon = line.find(':');
    if (colon == line.npos || line.find_first_of(" \t") < colon) return std::nullopt;
    head.add_header(line.substr(0, colon), line.substr(colon + 1));
  }
  return head;
}

// The application's own pages.
std::string answer(const downlink::RequestHead& head, bool keep_alive) {
  const bool found = head.path() == "/";
  const std::string body = found ? "This page is the application's own.\n" : "Nothing is here.\n";
  return std::string(found ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 404 Not Found\r\n") +
         "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
         (keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n") + (head.method() == "HEAD" ? "" : body);
}

asio::awaitable<void> serve(tcp::socket socket, Endpoint& endpoint) {
  constexpr std::size_t max_head = 16384;
  std::string unread;  // what came after the last request
  while (socket.is_open()) {
    const auto size = co_await asio::async_read_until(socket, asio::dynamic_buffer(unread, max_head), "\r\n\r\n",
                                                      asio::use_awaitable);
    const auto head = parse_head(std::string_view(unread).substr(0, size));
    unread.erase(0, size);
    if (!head) {
      constexpr std::string_view refusal = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      co_await asio::async_write(socket, asio::buffer(refusal), asio::use_awaitable);
      co_return;
    }
    if (endpoint.handles(*head)) {
      std::tie(socket, unread) =
          co_await endpoint.async_serve(std::move(socket), *head, std::move(unread), asio::use_awaitable);
      continue;
    }
    // No page of the application's takes a body, so where one may follow the connection can't go on.
    const bool body = head->header("Content-Length") || head->header("Transfer-Encoding");
    const bool keep_alive = head->keep_alive() && !body;
    co_await asio::async_write(socket, asio::buffer(answer(*head, keep_alive)), asio::use_awaitable);
    if (!keep_alive) co_return;
  }
}

asio::awaitable<void> listen(tcp::acceptor& acceptor, Endpoint& endpoint) {
  while (true) {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), endpoint), asio::detached);
  }
}

asio::awaitable<void> publish_prices(downlink::Publisher publisher) {
  asio::steady_timer timer{co_await asio::this_coro::executor};
  for (int price = 42000;; price += 10) {
    publisher.publish({.data = R"({"symbol":"BTC","price":)" + std::to_string(price) + "}", .event = "price"});
    timer.expires_after(std::chrono::seconds{1});
    co_await timer.async_wait(asio::use_awaitable);
  }
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel prices;
  Endpoint endpoint{io};
  endpoint.route("/prices", prices);

  tcp::acceptor acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), port}};
  std::cout << "listening on http://127.0.0.1:" << acceptor.local_endpoint().port() << std::endl;
  asio::co_spawn(io, listen(acceptor, endpoint), asio::detached);
  asio::co_spawn(io, publish_prices(downlink::Publisher{prices}), asio::detached);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
