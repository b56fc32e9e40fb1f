#include "calls.hpp"

#include <liburing.h>
#include <sys/socket.h>

#include "support/next_function.hpp"

Calls calls;
thread_local bool watched = false;

using downlink::testing::next_function;

extern "C" {

int io_uring_queue_init(unsigned entries, struct io_uring* ring, unsigned flags) {
  if (const int error = calls.refuse) return -error;
  static auto* const next = next_function<decltype(io_uring_queue_init)>("io_uring_queue_init");
  return next(entries, ring, flags);
}

int io_uring_submit(struct io_uring* ring) {
  ++calls.submits;
  if (const int error = calls.fail) return -error;
  static auto* const next = next_function<decltype(io_uring_submit)>("io_uring_submit");
  return next(ring);
}

ssize_t send(int socket, const void* bytes, std::size_t size, int flags) {
  if (watched) ++calls.sends;
  static auto* const next = next_function<decltype(send)>("send");
  return next(socket, bytes, size, flags);
}

}  // extern "C"
