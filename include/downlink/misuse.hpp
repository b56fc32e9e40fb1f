#pragma once

/// \file
/// Throwing and catching on behalf of what every source compiles. With `DOWNLINK_SEPARATE_COMPILATION` only one source
/// of a program needs exceptions, the one that includes `downlink/src.hpp`.

#include <downlink/config.hpp>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

namespace downlink::detail {

[[noreturn]] DOWNLINK_DECL void throw_invalid_argument(const std::string& sentence);
[[noreturn]] DOWNLINK_DECL void throw_length_error(const std::string& sentence);
[[noreturn]] DOWNLINK_DECL void throw_logic_error(const std::string& sentence);

/// What `call(what)` throws, or null.
DOWNLINK_DECL std::exception_ptr thrown_by(void (*call)(void*), void* what) noexcept;

template <class Function>
std::exception_ptr thrown_by(Function function) noexcept {
  return thrown_by([](void* what) { (*static_cast<Function*>(what))(); }, std::addressof(function));
}

#if DOWNLINK_DEFINITIONS

DOWNLINK_DECL void throw_invalid_argument(const std::string& sentence) { throw std::invalid_argument(sentence); }
DOWNLINK_DECL void throw_length_error(const std::string& sentence) { throw std::length_error(sentence); }
DOWNLINK_DECL void throw_logic_error(const std::string& sentence) { throw std::logic_error(sentence); }

DOWNLINK_DECL std::exception_ptr thrown_by(void (*call)(void*), void* what) noexcept {
  try {
    call(what);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

#endif

}  // namespace downlink::detail
