// An application that is compiled with -fno-exceptions. The library's headers need exceptions, so one source of the
// application, push.cpp, is compiled with them and lets none out; everything else goes without.
//   curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8080/feed

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "push.hpp"

#ifdef __cpp_exceptions
#error "this source is to be compiled with -fno-exceptions"
#endif

int main(int argc, char** argv) {
  Push push;
  const auto error = push.start(static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8080));
  if (!error.empty()) {
    std::cerr << error << '\n';
    return 1;
  }
  std::cout << "listening on http://127.0.0.1:" << push.port() << "/feed" << std::endl;
  for (int price = 42000;; ++price) {
    if (!push.publish(std::to_string(price))) std::cerr << "not published\n";
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
  }
}
