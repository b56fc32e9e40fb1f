// An application that is compiled with -fno-exceptions. The library's headers need exceptions, so one source of the
// application, push.cpp, is compiled with them and lets none out; everything else goes without.
//   echo hello | no_exceptions     and     curl 'http://127.0.0.1:8080/feed?cursor=earliest'

#include <cstdlib>
#include <iostream>
#include <string>

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
  for (std::string line; std::getline(std::cin, line);) {
    if (!push.publish(line)) std::cerr << "not published: " << line << '\n';
  }
}
