// An application that is compiled with -fno-exceptions. The library's plain functions are in one source that is not,
// library.cpp; this one includes the headers like any other. What is wrong from the start, such as contradictory
// options, ends the program with a sentence; a port that is taken is an error code.
//   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/feed

#include "without_throwing.hpp"

#include <chrono>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <iostream>
#include <string>
#include <thread>

#ifdef __cpp_exceptions
#error "this source is to be compiled with -fno-exceptions"
#endif

int main(int argc, char** argv) {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080);
  const std::string path = argc > 2 ? argv[2] : "/feed";
  asio::io_context io;
  downlink::Channel channel;
  downlink::Server<downlink::Sse, downlink::ShortPolling> server{io, {.port = port}};
  server.route(path, channel);  // one that is no path would end the program here
  downlink::error_code error;
  server.start(error);
  if (error) {
    std::cerr << "can't listen at 127.0.0.1:" << port << ": " << error.message() << '\n';
    return 1;
  }
  std::cout << "listening on http://127.0.0.1:" << server.port() << path << std::endl;

  std::thread loop([&io] { io.run(); });
  const downlink::Publisher publisher{channel};
  for (int price = 42000;; ++price) {
    const auto published = publisher.publish({.data = std::to_string(price)});
    if (!published) std::cerr << published.error().message() << '\n';
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
}
