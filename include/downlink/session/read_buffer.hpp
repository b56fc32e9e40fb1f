#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/session/raised.hpp>

namespace downlink::detail {

/// The one buffer that every session of a shard reads into.
class ReadBuffer {
 public:
  /// Calls `use` with it; where it is in use, as a callback that what is in it led to runs the loop, with another one.
  template <class Function>
  void with(Function&& use) {
    if (in_use_) return std::forward<Function>(use)(net::buffer(*std::make_unique<decltype(bytes_)>()));
    const Raised in_use(in_use_);
    std::forward<Function>(use)(net::buffer(bytes_));
  }

 private:
  bool in_use_ = false;
  std::array<char, std::size_t{64} << 10> bytes_;
};

}  // namespace downlink::detail
