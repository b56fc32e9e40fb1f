// HTTPS and WSS: Server-Sent Events and WebSocket over TLS, with a certificate that may change while it runs.
//   openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=localhost
//   tls cert.pem key.pem [PORT]
//   curl -kN https://127.0.0.1:8443/prices

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include <asio/signal_set.hpp>
#include <downlink/downlink.hpp>
#include <downlink/tls.hpp>

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: tls CERTIFICATE KEY [PORT]\n";
    return 2;
  }
  const auto port = static_cast<std::uint16_t>(argc > 3 ? std::atoi(argv[3]) : 8443);
  asio::io_context io;
  downlink::Channel prices;
  downlink::Tls tls{{.certificate = argv[1], .key = argv[2]}};
  downlink::Server<downlink::Sse, downlink::WebSocket> server{io, {.port = port}};
  downlink::enable_tls(server, tls);
  server.route("/prices", prices);
  server.start();
  std::cout << "listening on https://127.0.0.1:" << server.port() << "/prices" << std::endl;

  // SIGHUP, as certbot's hook may send it: new connections get the new certificate, the others stay.
  asio::signal_set renewed{io, SIGHUP};
  std::function<void()> await_renewal = [&] {
    renewed.async_wait([&](downlink::error_code error, int) {
      if (error) return;
      const auto failed = tls.reload();
      std::cout << (failed ? "not reloaded: " + failed.message() : "reloaded") << std::endl;
      await_renewal();
    });
  };
  await_renewal();

  asio::steady_timer timer{io};
  std::function<void(int)> publish = [&](int price) {
    downlink::Publisher{prices}.publish({.data = R"({"price":)" + std::to_string(price) + "}", .event = "price"});
    timer.expires_after(std::chrono::seconds{1});
    timer.async_wait([&publish, price](downlink::error_code) { publish(price + 1); });
  };
  publish(42000);
  io.run();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
