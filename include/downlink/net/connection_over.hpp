#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <downlink/net/connection.hpp>

namespace downlink::detail {

/// The connection over one type of stream.
template <Stream S>
class ConnectionOver final : public Connection {
 public:
  using GiveBack = std::function<void(error_code, S, std::string)>;

  ConnectionOver(std::shared_ptr<EndpointCore> core, Shard& shard, S stream)
      : Connection(std::move(core), shard), stream_(std::move(stream)) {}

  ~ConnectionOver() override {
    // Its loop went before it was started.
    if (give_back_) (*give_back_)(net::error::operation_aborted, std::move(stream_), {});
  }

  /// Where the socket goes back to; to be set before it is started.
  void lend(GiveBack give_back) { give_back_ = std::make_unique<GiveBack>(std::move(give_back)); }

  S& stream() { return stream_; }

 protected:
  IoResult try_write(std::span<const net::const_buffer> buffers) override { return stream_.try_write(buffers); }
  IoResult try_write_once(net::const_buffer buffer) override {
    if constexpr (requires { stream_.try_write_once(buffer); }) return stream_.try_write_once(buffer);
    return stream_.try_write({&buffer, 1});
  }
  int socket_to_send() const override {
    if constexpr (requires { stream_.socket_to_send(); }) return stream_.socket_to_send();
    return -1;
  }
  std::size_t committed() const override { return stream_.committed(); }
  IoResult read_some(net::mutable_buffer buffer) override { return stream_.try_read(buffer); }
  void await(Readable handler) override { stream_.async_ready(Ready::read, std::move(handler)); }
  bool read_into(net::mutable_buffer buffer, Received handler) override {
    if constexpr (requires { stream_.async_read(buffer, std::move(handler)); }) {
      stream_.async_read(buffer, std::move(handler));
      return true;
    }
    return false;
  }
  void cancel_reading() override { stream_.cancel_reading(); }
  void await(Writable handler) override { stream_.async_ready(Ready::write, std::move(handler)); }
  void await(Broken handler) override { stream_.async_ready(Ready::error, std::move(handler)); }
  void end_output() override { stream_.end_output(); }
  void close_stream(bool reset) override { stream_.close(reset); }
  bool peer_took() const override {
    if constexpr (requires { stream_.peer_took(); }) return stream_.peer_took();
    return true;
  }
  std::chrono::milliseconds unacknowledged() const override {
    if constexpr (requires { stream_.unacknowledged(); }) return stream_.unacknowledged();
    return {};
  }
  std::uint32_t untaken() const override {
    if constexpr (requires { stream_.untaken(); }) return stream_.untaken();
    return not_known;
  }
  void lift_user_timeout() override {
    if constexpr (requires { stream_.lift_user_timeout(); }) stream_.lift_user_timeout();
  }
  bool is_lent() const override { return give_back_ != nullptr; }
  void give_back(std::string unread) override {
    (*std::exchange(give_back_, {}))(error_code{}, std::move(stream_), std::move(unread));
  }
  std::string remote_address() override { return stream_.remote_address(); }

 private:
  S stream_;
  std::unique_ptr<GiveBack> give_back_;
};

}  // namespace downlink::detail
