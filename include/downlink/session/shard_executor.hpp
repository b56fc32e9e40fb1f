#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <downlink/asio.hpp>
#include <downlink/session/shard.hpp>

namespace downlink::detail {

/// A shard as an Asio executor, for the application's coroutines.
class ShardExecutor {
 public:
  explicit ShardExecutor(std::shared_ptr<Shard> shard) : shard_(std::move(shard)) {}

  template <class Function>
  void execute(Function&& function) const {
    // Tasks are copyable, what Asio executes is only movable.
    auto shared = std::make_shared<std::decay_t<Function>>(std::forward<Function>(function));
    shard_->post([shared] { std::move (*shared)(); });
  }
  net::execution_context& query(net::execution::context_t) const noexcept { return shard_->context(); }
  static constexpr net::execution::blocking_t::never_t query(net::execution::blocking_t) noexcept { return {}; }
  ShardExecutor require(net::execution::blocking_t::never_t) const { return *this; }

  friend bool operator==(const ShardExecutor& a, const ShardExecutor& b) noexcept { return a.shard_ == b.shard_; }
  friend bool operator!=(const ShardExecutor& a, const ShardExecutor& b) noexcept { return a.shard_ != b.shard_; }

 private:
  std::shared_ptr<Shard> shard_;
};

/// The executor for application code that is to run on this shard. A template, because executors are slow to compile.
template <class S>
net::any_io_executor application_executor(S& shard) {
  if (shard.one_thread()) return net::any_io_executor(shard.executor());
  return net::any_io_executor(ShardExecutor(shard.shared_from_this()));
}

}  // namespace downlink::detail
