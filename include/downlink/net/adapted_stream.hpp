#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <downlink/misuse.hpp>
#include <downlink/net/endpoint.hpp>
#include <downlink/wire/clear_and_shrink.hpp>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/ssl/error.hpp>
#else
#include <asio/ssl/error.hpp>
#endif

namespace downlink::detail {

/// A stream that only has asynchronous reads and writes, such as `asio::ssl::stream`, whose non-blocking writes lose
/// what the socket does not take. It is slower than the library's own: what is sent is copied, one operation follows
/// the other, and a read with its buffer is always under way.
template <class AsyncStream>
class AdaptedStream {
 public:
  AdaptedStream(AsyncStream stream, net::any_io_executor on_shard)
      : state_(std::make_shared<State>(std::move(stream), std::move(on_shard))) {}

  IoResult try_write(std::span<const net::const_buffer> buffers) {
    State& state = *state_;
    if (state.write_error) return {IoResult::State::broken, 0};
    if (state.writing) return {IoResult::State::would_block, 0};
    // What was taken counts as written once it is gone: whoever has bytes that wait here is not at its end.
    const std::size_t written = std::exchange(state.committed, 0);
    std::size_t skip = written;
    for (const auto& buffer : buffers) {
      const std::size_t skipped = std::min(skip, buffer.size());
      skip -= skipped;
      const std::size_t size = std::min(buffer.size() - skipped, most_written - state.out.size());
      state.out.append(static_cast<const char*>(buffer.data()) + skipped, size);
    }
    state.committed = state.out.size();
    if (state.committed > 0) state.write(0);
    return {written > 0 ? IoResult::State::moved : IoResult::State::would_block, written};
  }

  /// Takes bytes that are not offered again, if it takes any now.
  IoResult try_write_once(net::const_buffer buffer) {
    State& state = *state_;
    if (state.writing || state.committed > 0 || state.write_error) return {IoResult::State::would_block, 0};
    state.out.assign(static_cast<const char*>(buffer.data()), buffer.size());
    state.write(0);
    return {IoResult::State::moved, buffer.size()};
  }

  IoResult try_read(net::mutable_buffer buffer) {
    State& state = *state_;
    if (!state.in.empty() && !state.reading) {
      const std::size_t size = std::min(buffer.size(), state.in.size());
      std::copy_n(state.in.data(), size, static_cast<char*>(buffer.data()));
      state.in.erase(0, size);
      return {IoResult::State::moved, size};
    }
    if (!state.over()) return {IoResult::State::would_block, 0};
    // Where everything is said, an end without close_notify is one too.
    const bool ended = state.read_error == net::error::eof || (state.ends && state.truncated());
    return {ended ? IoResult::State::end : IoResult::State::broken, 0};
  }

  template <class Handler>
  void async_ready(Ready what, Handler&& handler) {
    State& state = *state_;
    const bool input = !state.in.empty() && !state.reading;
    if (what == Ready::write ? !state.writing : state.over() || (what == Ready::read && input)) {
      auto ready = [handler = std::forward<Handler>(handler)]() mutable { std::move(handler)(error_code{}); };
      return net::post(state.executor, std::move(ready));
    }
    state.waiting[static_cast<std::size_t>(what)] = std::forward<Handler>(handler);
    if (what != Ready::write && !input) state.read();
  }

  /// Ends a wait to read, unless there is something to be read.
  void cancel_reading() {
    error_code ignored;
    if (state_->reading) state_->stream.lowest_layer().cancel(ignored);
  }

  std::size_t committed() const { return state_->committed; }

  /// Every write completes later. Where it was less than a whole chunk, the system may have had room all the while.
  bool peer_took() const { return state_->committed >= most_written; }

#if defined(__linux__)
  std::chrono::milliseconds unacknowledged() const {
    return detail::unacknowledged(state_->stream.lowest_layer().native_handle());
  }
  std::uint32_t untaken() const { return detail::untaken(state_->stream.lowest_layer().native_handle()); }
  void lift_user_timeout() { SocketStream::lift_user_timeout(state_->stream.lowest_layer()); }
#endif

  std::string remote_address() const {
    error_code error;
    const auto end = state_->stream.lowest_layer().remote_endpoint(error);
    return error ? std::string() : end.address().to_string();
  }

  void end_output() {
    state_->ends = true;
    if (!state_->writing) state_->end();
  }

  void close(bool reset) {
    error_code ignored;
    state_->waiting = {};
    // What says the end is sent before this returns, where the system takes it; nobody waits for the peer's own.
    if (!reset && !state_->writing && !state_->ends) thrown_by([&] { state_->end(); });
    auto& socket = state_->stream.lowest_layer();
    if (reset) socket.set_option(net::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
  }

 private:
  static constexpr std::size_t most_read = std::size_t{4} << 10;
  static constexpr std::size_t most_written = std::size_t{64} << 10;

  // Outlives the connection while operations are under way; all of it happens on the shard.
  struct State : std::enable_shared_from_this<State> {
    State(AsyncStream given, net::any_io_executor on_shard) : stream(std::move(given)), executor(std::move(on_shard)) {}

    template <class Function>
    auto bound(Function function) {
      return net::bind_executor(executor, std::move(function));
    }

    void read() {
      if (reading) return;
      reading = true;
      in.resize(most_read);
      auto done = bound([self = this->shared_from_this()](error_code error, std::size_t bytes) {
        self->reading = false;
        self->in.resize(bytes);
        if (error == net::error::operation_aborted && bytes == 0) {  // see cancel_reading
          if (self->stream.lowest_layer().available(error) > 0) return self->read();
          error = {};
        }
        self->read_error = error;
        self->discard();
        if (self->reading) return;
        self->wake(Ready::read);
        if (error) self->wake(Ready::error);
      });
      if (discarding) return stream.next_layer().async_read_some(net::buffer(in), std::move(done));
      stream.async_read_some(net::buffer(in), std::move(done));
    }

    // Nothing more will be read. What keeps TLS from reading on once it has said its end does not count: see discard().
    bool over() const { return read_error && (!ends || discarding || !of_tls()); }
    bool truncated() const { return read_error == net::ssl::error::stream_truncated; }
    bool of_tls() const {
      const auto& category = read_error.category();
      return category == net::error::get_ssl_category() ||
             (category == net::ssl::error::get_stream_category() && !truncated());
    }

    void write(std::size_t written) {
      writing = written < out.size();
      if (!writing) {
        wire::detail::clear_and_shrink(out);
        if (ends) end();
        return wake(Ready::write);
      }
      const net::const_buffer rest(out.data() + written, out.size() - written);
      stream.async_write_some(rest,
                              bound([self = this->shared_from_this(), written](error_code error, std::size_t bytes) {
                                self->write_error = error;
                                self->write(error ? self->out.size() : written + bytes);
                              }));
    }

    void end() {
      stream.async_shutdown(bound([self = this->shared_from_this()](error_code) {
        error_code ignored;
        self->stream.lowest_layer().shutdown(net::socket_base::shutdown_send, ignored);
        self->ended = true;
        self->discard();
      }));
    }

    // A peer that still sends makes `async_shutdown` fail, and TLS is over. What goes on coming is read from below it,
    // as what is left unread makes closing a reset, which could overtake the last answer (WIRE §8).
    void discard() {
      if (!ended || discarding || !of_tls()) return;
      discarding = true;
      read_error = {};
      read();
    }

    void wake(Ready what) {
      const auto handler = std::exchange(waiting[static_cast<std::size_t>(what)], nullptr);
      if (handler) handler(error_code{});
    }

    AsyncStream stream;
    net::any_io_executor executor;
    std::array<std::function<void(error_code)>, 3> waiting;
    std::string in;
    std::string out;
    std::size_t committed = 0;  // bytes that are being written, or were since they were last offered
    error_code read_error;
    error_code write_error;
    bool reading = false;
    bool writing = false;
    bool ends = false;        // the output does, after what is being written
    bool ended = false;       // and has, as far as it can
    bool discarding = false;  // what comes is not TLS's any more
  };

  std::shared_ptr<State> state_;
};

}  // namespace downlink::detail
