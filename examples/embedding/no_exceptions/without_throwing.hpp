#pragma once

// With ASIO_NO_EXCEPTIONS, which all sources of a program have or none, Asio leaves to the program what happens in
// place of a throw.

#include <cstdlib>
#include <iostream>

namespace asio::detail {

template <class Exception>
void throw_exception(const Exception& error) {
  std::cerr << error.what() << '\n';
  std::abort();
}

}  // namespace asio::detail
