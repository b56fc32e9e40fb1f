#pragma once

#include <liburing.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <downlink/net/endpoint.hpp>
#include <downlink/session/fan_out.hpp>
#include <downlink/session/stream.hpp>

/// \file
/// A round's sends by one system call, with Linux's io_uring. Needs liburing: link `downlink::io_uring` beside the
/// library.

namespace downlink {

namespace detail {

/// Makes a round's sends by one system call. Every one of them is over when that returns: what a peer does not take at
/// once is its session's affair, as ever.
class IoUringFanOut final : public BatchedFanOut {
 public:
  /// Null where the system refuses.
  static std::unique_ptr<FanOut> make(error_code& error) {
    auto made = std::unique_ptr<IoUringFanOut>(new IoUringFanOut);
    // Linux 5.19 has both flags: one send that fails keeps no other back, and completions interrupt nobody.
    const int failed = io_uring_queue_init(most, &made->ring_, IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN);
    if (failed) {
      error = error_code(-failed, net::error::get_system_category());
      return nullptr;
    }
    made->ready_ = true;
    return made;
  }

  IoUringFanOut(const IoUringFanOut&) = delete;
  IoUringFanOut& operator=(const IoUringFanOut&) = delete;
  ~IoUringFanOut() override { stop(); }

 protected:
  void send(std::span<Sending> sendings) override {
    std::size_t begun = 0;
    if (ready_ && sendings.size() > 1) begun = submit(sendings);
    for (auto& sending : sendings.subspan(begun)) sending.result = SocketStream::send(sending.socket, sending.bytes);
  }

 private:
  IoUringFanOut() = default;

  // How many were made; the others are not begun. Fails only where the system is out of memory, and is then left alone.
  std::size_t submit(std::span<Sending> sendings) {
    for (std::size_t i = 0; i < sendings.size(); ++i) {
      const Sending& sending = sendings[i];
      io_uring_sqe* entry = io_uring_get_sqe(&ring_);
      io_uring_prep_send(entry, sending.socket, sending.bytes.data(), sending.bytes.size(), SocketStream::send_flags);
      io_uring_sqe_set_data64(entry, i);
    }
    while (io_uring_sq_ready(&ring_) > 0) {
      const int taken = io_uring_submit(&ring_);
      if (taken <= 0 && taken != -EINTR) break;
    }
    const std::size_t begun = sendings.size() - io_uring_sq_ready(&ring_);
    for (std::size_t seen = 0; seen < begun;) {
      io_uring_cqe* completion = nullptr;
      const int failed = io_uring_wait_cqe(&ring_, &completion);  // they are there: no call of the system's
      if (failed == -EINTR) continue;
      if (failed) {  // the results that stay as they were break their connections
        stop();
        break;
      }
      sendings[io_uring_cqe_get_data64(completion)].result = SocketStream::sent(completion->res);
      io_uring_cqe_seen(&ring_, completion);
      ++seen;
    }
    if (begun < sendings.size()) stop();
    return begun;
  }

  void stop() {
    if (std::exchange(ready_, false)) io_uring_queue_exit(&ring_);
  }

  io_uring ring_{};
  bool ready_ = false;
};

}  // namespace detail

/// Lets an endpoint or server send what is published to the plain sockets of its streams by one system call for up to
/// 256 subscribers, where there would be one for each: a seventh less of a core. What clients see is the same. To be
/// called before it serves.
///
/// Returns the system's error where it refuses (Linux before 5.19, `kernel.io_uring_disabled`, or a container's
/// filter); everything then works as without. TLS, and what goes to one peer alone, is sent as without in any case.
inline error_code enable_io_uring(EndpointBase& endpoint) {
  const auto& shards = detail::EndpointAccess::core(endpoint).shards;
  std::vector<std::unique_ptr<detail::FanOut>> made;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    error_code error;
    made.push_back(detail::IoUringFanOut::make(error));
    if (error) return error;
  }
  for (std::size_t i = 0; i < shards.size(); ++i) shards[i]->fan_out_with(std::move(made[i]));
  return {};
}

}  // namespace downlink
