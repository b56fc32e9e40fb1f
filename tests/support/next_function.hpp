#pragma once

#include <dlfcn.h>

namespace downlink::testing {

/// The function that a stand-in of the same name keeps the program from calling: the library's or the system's.
template <class Function>
Function* next_function(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace downlink::testing
