// The library inside a server of Boost.Beast's, in the same boost::asio::io_context: Beast has read the request's head,
// and hands over the socket with it. After a poll the socket comes back, and Beast reads the next request.
//   curl http://127.0.0.1:8080/
//   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/prices

#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <tuple>
#include <utility>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Endpoint = downlink::Endpoint<downlink::Sse, downlink::WebSocket, downlink::LongPolling, downlink::ShortPolling>;

// Beast's head as the library takes it.
downlink::RequestHead head_of(const http::request_header<>& request) {
  const auto view = [](auto text) { return std::string_view(text.data(), text.size()); };
  downlink::RequestHead head{view(request.method_string()), view(request.target()),
                             static_cast<int>(request.version() % 10)};
  for (const auto& field : request) head.add_header(view(field.name_string()), view(field.value()));
  return head;
}

asio::awaitable<void> serve(tcp::socket socket, Endpoint& endpoint) {
  boost::beast::flat_buffer buffer;
  while (socket.is_open()) {
    http::request_parser<http::string_body> parser;
    co_await http::async_read_header(socket, buffer, parser, asio::use_awaitable);
    const auto head = head_of(parser.get().base());
    if (endpoint.handles(head)) {
      const auto bytes = buffer.data();
      std::string unread(static_cast<const char*>(bytes.data()), bytes.size());
      std::tie(socket, unread) =
          co_await endpoint.async_serve(std::move(socket), head, std::move(unread), asio::use_awaitable);
      buffer.clear();
      buffer.commit(asio::buffer_copy(buffer.prepare(unread.size()), asio::buffer(unread)));
      continue;
    }
    co_await http::async_read(socket, buffer, parser, asio::use_awaitable);
    http::response<http::string_body> answer{http::status::ok, parser.get().version()};
    answer.set(http::field::content_type, "text/plain");
    answer.body() = "This page is Beast's.\n";
    answer.keep_alive(parser.get().keep_alive());
    answer.prepare_payload();
    co_await http::async_write(socket, answer, asio::use_awaitable);
    if (!answer.keep_alive()) co_return;
  }
}

asio::awaitable<void> listen(tcp::acceptor& acceptor, Endpoint& endpoint) {
  while (true) {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), endpoint), asio::detached);
  }
}

int main(int argc, char** argv) try {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  asio::io_context io;
  downlink::Channel prices;
  Endpoint endpoint{io};
  endpoint.route("/prices", prices);
  endpoint.on_message("/prices", [&](downlink::Peer, downlink::Inbound message) {
    downlink::Publisher{prices}.publish({.data = message.data});
  });
  tcp::acceptor acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), port}};
  std::cout << "listening on http://127.0.0.1:" << acceptor.local_endpoint().port() << std::endl;
  asio::co_spawn(io, listen(acceptor, endpoint), asio::detached);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
