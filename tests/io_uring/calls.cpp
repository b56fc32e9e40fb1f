#include "calls.hpp"

#include <dlfcn.h>
#include <liburing.h>
#include <sys/socket.h>

Calls calls;
thread_local bool watched = false;

namespace {

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int io_uring_queue_init(unsigned entries, struct io_uring* ring, unsigned flags) {
  if (const int error = calls.refuse) return -error;
  static auto* const next = real<decltype(io_uring_queue_init)>("io_uring_queue_init");
  return next(entries, ring, flags);
}

int io_uring_submit(struct io_uring* ring) {
  ++calls.submits;
  if (const int error = calls.fail) return -error;
  static auto* const next = real<decltype(io_uring_submit)>("io_uring_submit");
  return next(ring);
}

ssize_t send(int socket, const void* bytes, std::size_t size, int flags) {
  if (watched) ++calls.sends;
  static auto* const next = real<decltype(send)>("send");
  return next(socket, bytes, size, flags);
}

}  // extern "C"
