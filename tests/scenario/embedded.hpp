#pragma once

#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <downlink/downlink.hpp>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/use_future.hpp>
#else
#include <asio/use_future.hpp>
#endif

#include "support/loop.hpp"

namespace downlink::testing {

using tcp = net::ip::tcp;

/// A connection that an application has accepted, its first request's head, and what came beyond that.
struct AcceptedRequest {
  tcp::socket socket;
  std::string unread;
  RequestHead head;
};

/// An application's own acceptor, and the bytes that it reads.
struct Application {
  explicit Application(net::io_context& context)
      : acceptor(context, tcp::endpoint(net::ip::address_v4::loopback(), 0)) {}

  std::uint16_t port() const { return acceptor.local_endpoint().port(); }

  tcp::socket accept() { return acceptor.accept(); }
  AcceptedRequest accept_request() {
    AcceptedRequest accepted{accept(), {}, {}};
    accepted.head = read_head(accepted.socket, accepted.unread);
    return accepted;
  }

  /// Reads up to the end of a head; what came beyond it stays in `unread`.
  static RequestHead read_head(tcp::socket& socket, std::string& unread) {
    wire::RequestParser parser{RequestLimits{}};
    while (true) {
      unread.erase(0, parser.feed(unread));
      if (parser.state() == wire::RequestParser::State::head_complete) return parser.head();
      if (parser.state() == wire::RequestParser::State::failed) throw std::runtime_error("a bad head");
      char buffer[4096];
      unread.append(buffer, socket.read_some(net::buffer(buffer)));
    }
  }

  static void write(tcp::socket& socket, std::string_view text) {
    while (!text.empty()) text.remove_prefix(socket.write_some(net::buffer(text.data(), text.size())));
  }

  tcp::acceptor acceptor;
};

/// An endpoint of all transports, with the channel /c, beside an application's own acceptor.
struct Embedded {
  explicit Embedded(std::size_t contexts = 1, EndpointOptions options = {})
      : publisher(channel), loop(contexts), endpoint(loop.contexts(), std::move(options)), application(own.context()) {
    endpoint.route("/c", channel);
  }

  Channel channel;
  Publisher publisher;
  Loop loop;
  Loop own;  // where the application's sockets live
  Endpoint<ShortPolling, LongPolling, Sse, WebSocket> endpoint;
  Application application;
};

/// What the application itself answers.
inline constexpr std::string_view own_answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown";

/// What an operation completes with, within a deadline.
template <class T>
T take(std::future<T> future) {
  if (future.wait_for(patience) != std::future_status::ready)
    throw std::runtime_error("the operation does not complete");
  return future.get();
}

}  // namespace downlink::testing
