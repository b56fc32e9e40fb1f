// Answers each WebSocket message with itself, whole or fragmented, text or binary, up to 16 MiB. SIGINT and SIGTERM say
// goodbye to everybody.
//   websocat ws://127.0.0.1:8080/

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <utility>

#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <downlink/downlink.hpp>
#ifdef EXAMPLE_DEFLATE
#include <downlink/deflate.hpp>
#endif

int main(int argc, char** argv) try {
  std::uint16_t port = 8080;
  CLI::App app{"Answers each WebSocket message with itself.", "echo"};
  app.add_option("--port", port, "Listen on this port; 0 is any free one")->capture_default_str();
#ifdef EXAMPLE_DEFLATE
  bool deflate = false;
  app.add_flag("--deflate", deflate, "Compress for clients that offer permessage-deflate")->disable_flag_override();
#endif
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    std::cerr << "echo: " << error.what() << '\n';
    return 2;
  }

  asio::io_context io;
  downlink::Channel nothing;  // is published: there are only direct replies
  downlink::Server<downlink::WebSocket> server{
      io, {.port = port, .endpoint = {.max_message = std::size_t{16} << 20, .one_thread = true}}};
#ifdef EXAMPLE_DEFLATE
  if (deflate) downlink::enable_deflate(server);
#endif
  server.route("/{anything}", nothing);
  server.on_message("/{anything}", [](const downlink::Peer&, downlink::Inbound message) {
    return downlink::Message{.data = std::move(message.data), .binary = message.binary};
  });
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](asio::error_code, int) { server.async_drain(std::chrono::seconds(1), [&] { io.stop(); }); });
  server.start();
  std::cout << "listening on http://" << server.address() << ':' << server.port() << std::endl;
  io.run();
} catch (const std::exception& error) {
  std::cerr << "echo: " << error.what() << '\n';
  return 1;
}
