#pragma once

// Included before everything else of a test program, this has its servers send by io_uring where the system lets them.

#include <downlink/downlink.hpp>
#include <downlink/io_uring.hpp>

namespace downlink {

template <class... Transports>
class IoUringServer : public Server<Transports...> {
 public:
  using Server<Transports...>::Server;

 private:
  error_code refused_ = enable_io_uring(*this);
};

}  // namespace downlink

#define Server IoUringServer
