// A server that answers each POST to /address with the address that it takes the sender to have: address [1 or 2], with
// 2 for connections that begin with the PROXY protocol's header. It trusts proxies on 127.0.0.1.

#include <iostream>
#include <string_view>

#include <downlink/downlink.hpp>

int main(int argc, char** argv) {
  asio::io_context io;
  downlink::Channel channel;
  downlink::ServerOptions options{.endpoint = {.trusted_proxies = {"127.0.0.1"}}};
  options.proxy_protocol = argc > 1 && std::string_view(argv[1]) == "2";
  downlink::Server<downlink::ShortPolling> server{io, options};
  server.route("/address", channel);
  server.on_message("/address", [](const downlink::Peer& from, const downlink::Inbound&) -> downlink::Reply {
    return downlink::Message{.data = from.identity().remote_address};
  });
  server.start();
  std::cout << "listening on http://127.0.0.1:" << server.port() << std::endl;
  io.run();
}
