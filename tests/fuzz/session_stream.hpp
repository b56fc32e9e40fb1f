#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <downlink/session/stream.hpp>

#include "fuzz/fuzz.hpp"

namespace downlink::fuzz {

/// The time, which only the script moves: this program's `steady_clock` gives it.
inline std::chrono::steady_clock::time_point script_time{std::chrono::hours{1}};

/// Moves the time and has the loop look at its timers, which wait in the kernel by the real one.
inline void pass_time(net::io_context& io, std::chrono::milliseconds by) {
  script_time += by;
  auto kick = std::make_shared<net::steady_timer>(io, script_time - std::chrono::hours{1});
  kick->async_wait([kick](error_code) {});
}

/// What lies between the server's end of a connection and its peer, which the script plays.
struct Pipe {
  explicit Pipe(net::io_context& io) : executor(io.get_executor()) {}

  struct Waiting {
    virtual ~Waiting() = default;
    virtual void complete(error_code error) = 0;
  };

  /// Completes what the state allows.
  void wake() {
    finish(Ready::read, broken || input_ended || !input.empty());
    finish(Ready::write, broken || window > 0);
    finish(Ready::error, broken);
  }
  void finish(Ready what, bool ready, error_code error = {}) {
    auto& waiting = waits[static_cast<std::size_t>(what)];
    if (!ready || !waiting) return;
    net::post(executor, [wait = std::shared_ptr<Waiting>(std::move(waiting)), error] { wait->complete(error); });
  }

  net::io_context::executor_type executor;
  std::array<std::unique_ptr<Waiting>, 3> waits;
  std::string sent;    // all that the peer has sent
  std::string input;   // what of it the server has not read
  std::string output;  // all that the server has sent
  std::size_t window = std::size_t{1} << 16;
  bool input_ended = false;
  bool broken = false;        // by the peer
  bool output_ended = false;  // by the server
  bool closed = false;        // by the server
};

/// The server's end.
class ScriptStream {
 public:
  explicit ScriptStream(std::shared_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {}

  IoResult try_write(std::span<const net::const_buffer> buffers) {
    check(!pipe_->closed && !pipe_->output_ended, "it writes after it has ended its output");
    if (pipe_->broken) return {IoResult::State::broken, 0};
    std::size_t written = 0;
    std::size_t offered = 0;
    for (const auto& buffer : buffers) {
      const auto part = std::min(buffer.size(), pipe_->window);
      pipe_->output.append(static_cast<const char*>(buffer.data()), part);
      pipe_->window -= part;
      written += part;
      offered += buffer.size();
    }
    check(offered > 0, "it writes nothing");
    return {written > 0 ? IoResult::State::moved : IoResult::State::would_block, written};
  }

  IoResult try_read(net::mutable_buffer buffer) {
    check(!pipe_->closed, "it reads after its close");
    if (pipe_->broken) return {IoResult::State::broken, 0};
    if (pipe_->input.empty()) return {pipe_->input_ended ? IoResult::State::end : IoResult::State::would_block, 0};
    const auto part = std::min(buffer.size(), pipe_->input.size());
    std::copy_n(pipe_->input.data(), part, static_cast<char*>(buffer.data()));
    pipe_->input.erase(0, part);
    return {IoResult::State::moved, part};
  }

  template <class Handler>
  void async_ready(Ready what, Handler&& handler) {
    struct Typed final : Pipe::Waiting {
      explicit Typed(Handler&& given) : handler(std::forward<Handler>(given)) {}
      void complete(error_code error) override { std::move(handler)(error); }
      std::decay_t<Handler> handler;
    };
    auto& wait = pipe_->waits[static_cast<std::size_t>(what)];
    check(!wait, "it waits twice for the same");
    wait = std::make_unique<Typed>(std::forward<Handler>(handler));
    pipe_->wake();
  }

  void cancel_reading() { pipe_->finish(Ready::read, true, net::error::operation_aborted); }

  std::size_t committed() const { return 0; }
  std::string remote_address() const { return "192.0.2.1"; }
  void end_output() { pipe_->output_ended = true; }
  void close(bool) {
    pipe_->closed = true;
    release();
  }
  bool closed() const { return pipe_->closed; }
  /// As a socket that is released: what waits is called off.
  void release() {
    for (auto what : {Ready::read, Ready::write, Ready::error}) {
      pipe_->finish(what, true, net::error::operation_aborted);
    }
  }

 private:
  std::shared_ptr<Pipe> pipe_;
};

static_assert(Stream<ScriptStream>);

}  // namespace downlink::fuzz
