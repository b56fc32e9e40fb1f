// A Unix domain socket in place of a port: the application listens, and the endpoint takes what it accepts.
//   local_socket [PATH]    by default /tmp/prices.sock; what is there already is replaced
//   curl -N --unix-socket /tmp/prices.sock http://localhost/prices

#include <cstdio>
#include <iostream>
#include <string>
#include <utility>

#include <asio/detached.hpp>
#include <asio/local/stream_protocol.hpp>
#include <downlink/downlink.hpp>

using Local = asio::local::stream_protocol;
using Endpoint = downlink::Endpoint<downlink::Sse, downlink::WebSocket, downlink::LongPolling, downlink::ShortPolling>;

asio::awaitable<void> listen(Local::acceptor& acceptor, Endpoint& endpoint) {
  while (true) {
    auto client = co_await acceptor.async_accept(asio::use_awaitable);
    endpoint.adopt(std::move(client), std::string());  // of which nothing has been read
  }
}

int main(int argc, char** argv) try {
  const std::string path = argc > 1 ? argv[1] : "/tmp/prices.sock";
  asio::io_context io;
  downlink::Channel prices;
  Endpoint endpoint{io};
  endpoint.route("/prices", prices);
  endpoint.on_message("/prices", [&](downlink::Peer, downlink::Inbound message) {
    downlink::Publisher{prices}.publish({.data = message.data});
  });
  std::remove(path.c_str());
  Local::acceptor acceptor{io, Local::endpoint{path}};
  std::cout << "listening on " << path << std::endl;
  asio::co_spawn(io, listen(acceptor, endpoint), asio::detached);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
