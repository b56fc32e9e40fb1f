#pragma once

#include <downlink/net/connection.hpp>

/// How a connection takes what its peer sends, and learns that the peer takes bytes again.

namespace downlink::detail {

DOWNLINK_DECL void Connection::await_readable() {
  // Whole requests that came before the end have been answered, and no further one can become whole.
  if (input_over_ && !pumping_ && (state_ == State::head || state_ == State::body)) return close(false);
  if (state_ == State::held && !watching_ && !wants_input()) {
    watching_ = true;
    return await(Broken{ConnectionRef(this)});
  }
  if (!wants_input()) return;
  if (!std::exchange(reading_, true)) {
    // One that is lent out goes back with all that was not asked for: it is only waited for.
    const bool reads =
        http_ && !is_lent() && read_into(net::buffer(http_->read_buffer), {ConnectionRef(this), http_->read_storage});
    if (!reads) await(Readable{ConnectionRef(this)});
  }
  if (rests_while_draining()) cancel_reading();
}

DOWNLINK_DECL bool Connection::wants_input() const {
  switch (state_) {
    case State::head:
    case State::body:
      return !pumping_;  // whoever is at it comes here again
    case State::lingering:
      // More is left to the kernel: a reset could overtake the answer.
      return stray_ <= core_->options.linger_bytes;
    case State::held:
      return http_->unread.size() < core_->options.limits.max_head;
    case State::streaming:
      return session_->takes_input() && !input_over_ && !opening_;
    default:
      return false;
  }
}

DOWNLINK_DECL void Connection::readable() {
  reading_ = false;
  if (state_ == State::closed) return;
  auto found = IoResult::State::moved;
  shard().read_buffer().with([&](net::mutable_buffer buffer) {
    if (state_ == State::body) {
      // Only a little of what follows: that is kept while the request is answered.
      const auto missing = std::min<std::uint64_t>(http_->parser.missing(), buffer.size());
      buffer = net::buffer(buffer, static_cast<std::size_t>(missing) + http_->read_buffer.size());
    }
    const IoResult result = read_some(buffer);
    found = result.state;
    take(result, static_cast<char*>(buffer.data()));
  });
  if (found == IoResult::State::would_block && rests_while_draining()) return leave();
  await_readable();
}

DOWNLINK_DECL void Connection::read(error_code error, std::size_t bytes) {
  reading_ = false;
  if (state_ == State::closed) return;
  // Where a stream was opened meanwhile, this was kept for it.
  const auto http = state_ == State::streaming && !opening_ ? std::move(http_) : nullptr;
  auto& buffer = (http ? http : http_)->read_buffer;
  const bool filled = bytes == buffer.size();
  if (error == net::error::operation_aborted && rests_while_draining()) return readable();
  using enum IoResult::State;
  take({!error ? moved : error == net::error::eof ? end : broken, bytes}, buffer.data());
  // More of a body, or of what comes after the last answer, has come then: the shard's buffer has more room for it.
  const bool takes_more = state_ == State::body || state_ == State::lingering;
  if (filled && takes_more && !reading_ && wants_input()) return readable();
  await_readable();
}

DOWNLINK_DECL void Connection::take(const IoResult& result, char* bytes) {
  shard().update_now();
  switch (result.state) {
    case IoResult::State::moved:
      counters().bytes_received.add(result.bytes);
      received({bytes, result.bytes});
      break;
    case IoResult::State::would_block:
      break;
    case IoResult::State::end:
      input_ended();
      break;
    case IoResult::State::broken:
      close(true);
      break;
  }
}

DOWNLINK_DECL void Connection::received(std::span<char> bytes) {
  switch (state_) {
    case State::streaming:
      if (opening_) {
        http_->unread.append(bytes.data(), bytes.size());
        return;
      }
      if (count_inbound_bytes(bytes.size()).count() > 0) {
        return session_->end({EndReason::refused, "too many bytes a second"});
      }
      if (session_->receive(bytes)) return;
      stray_ += bytes.size();
      if (stray_ > core_->options.max_stray_bytes) session_->end({EndReason::refused, "this stream takes no input"});
      return;
    case State::lingering:
      stray_ += bytes.size();
      return;
    case State::closed:
      return;
    case State::body:
      // Past what is kept to be looked at, which would grow by it.
      if (!pumping_ && http_->unread.empty()) {
        bytes = bytes.subspan(http_->parser.feed({bytes.data(), bytes.size()}));
      }
      [[fallthrough]];
    default:
      http_->unread.append(bytes.data(), bytes.size());
      pump();
  }
}

DOWNLINK_DECL void Connection::rest_input() {
  session_->pause();
  later(State::streaming, [this] {
    session_->unpause();
    await_readable();
  });
}

DOWNLINK_DECL void Connection::input_ended() {
  switch (state_) {
    case State::streaming:
      if (opening_ || session_->holds_input()) return;  // it is found again once what came before it has been read
      input_over_ = true;
      return session_->end({EndReason::peer_left});  // after the message that is being sent
    case State::deciding:
    case State::handling:
    case State::responding:
      if (http_->unread.empty()) {
        http_->close_after = true;
      } else {
        input_over_ = true;  // what came before it may hold further requests, which are answered first
      }
      return;
    default:
      if (!pumping_) return close(false);
      input_over_ = true;  // requests that have come wait for their turn
  }
}

DOWNLINK_DECL void Connection::now_writable() {
  if (state_ == State::closed) return;
  shard().update_now();
  if (state_ == State::responding) return flush_response();
  if (!session_) return;
  session_->writable();
  await_readable();
}

}  // namespace downlink::detail
