#pragma once

#include <atomic>

/// What stands between the library and the system, in this program.
struct Calls {
  std::atomic<int> submits{0};  // rounds of sends that were made at once
  std::atomic<int> sends{0};    // single sends, of threads that `watched`
  std::atomic<int> refuse{0};   // the error with which the system refuses io_uring
  std::atomic<int> fail{0};     // the error with which submitting fails
};
extern Calls calls;

/// Whether this thread's single sends count.
extern thread_local bool watched;
