#pragma once

#include <new>
#include <utility>

namespace downlink::testing {

/// Of this thread's allocations to come, the one that fails; below zero none.
inline thread_local long failing_allocation = -1;

/// Whether `call` throws `bad_alloc` when its allocation number `which`, from 0, fails.
template <class Function>
bool fails_at(long which, Function&& call) {
  struct Mend {
    ~Mend() { failing_allocation = -1; }
  } mend;
  failing_allocation = which;
  try {
    std::forward<Function>(call)();
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

}  // namespace downlink::testing
