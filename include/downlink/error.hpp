#pragma once

#include <string>
#include <utility>
#include <variant>

#include <downlink/misuse.hpp>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#else
#include <system_error>
#endif

namespace downlink {

#ifdef DOWNLINK_BOOST_ASIO
using error_code = boost::system::error_code;
using error_category = boost::system::error_category;
using system_error = boost::system::system_error;
#else
/// What asynchronous calls and `Result` report: `std::error_code`, or Boost's with `DOWNLINK_BOOST_ASIO`.
using error_code = std::error_code;
/// What an `error_code` belongs to, such as `downlink_category()`: the standard's, or Boost's.
using error_category = std::error_category;
/// What is thrown with an `error_code`, as by `Server::start`: the standard's, or Boost's.
using system_error = std::system_error;
#endif

/// What can go wrong at run time. Misuse at set-up throws `std::invalid_argument` instead.
enum class errc {
  /// The channel was closed: nothing more can be published or read.
  channel_closed = 1,
  /// The channel's log is not local: use `async_publish`.
  needs_async,
  /// The event name has CR, LF or NUL, is not UTF-8, begins with `downlink.` or ends with `;base64` (WIRE §4).
  bad_event_name,
  /// The text payload is not UTF-8: publish it with `binary = true`.
  not_utf8,
  /// The payload is larger than the channel's or the endpoint's message limit.
  message_too_large,
  /// The hub holds as many channels as its limit allows.
  too_many_channels,
  /// The channel's name is not 1 to 128 characters of `[A-Za-z0-9._~-]`, or is `.` or `..`.
  bad_channel_name,
  /// The offset to append under is not past the newest one of its epoch.
  offset_not_increasing,
  /// The peer has gone.
  peer_gone,
  /// The peer's transport has no place for a direct reply now (an absent or held poll).
  no_reply_path,
  /// What already waits for this peer has reached its bound; the peer is closed.
  peer_queue_full,
  /// The socket belongs to another execution context and can't be moved on this system.
  foreign_executor,
  /// The engine that keeps the channel's log threw, or let go of a publish without an answer, as by being destroyed.
  engine_failed,
};

namespace detail {

class ErrorCategory final : public error_category {
 public:
  const char* name() const noexcept override { return "downlink"; }

  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::channel_closed:
        return "the channel is closed";
      case errc::needs_async:
        return "the channel's log is not local: use async_publish";
      case errc::bad_event_name:
        return "the event name is not allowed";
      case errc::not_utf8:
        return "the text payload is not UTF-8";
      case errc::message_too_large:
        return "the message is larger than the limit";
      case errc::too_many_channels:
        return "the hub holds as many channels as it may";
      case errc::bad_channel_name:
        return "the channel's name is not allowed";
      case errc::offset_not_increasing:
        return "the offset is not past the newest one";
      case errc::peer_gone:
        return "the peer has gone";
      case errc::no_reply_path:
        return "the peer's transport has no place for a direct reply";
      case errc::peer_queue_full:
        return "too much is waiting for this peer";
      case errc::foreign_executor:
        return "the socket can't be moved to this execution context";
      case errc::engine_failed:
        return "the channel's engine failed";
    }
    return "unknown downlink error";
  }
};

}  // namespace detail

/// The category of `errc`.
inline const error_category& downlink_category() noexcept {
  static const detail::ErrorCategory category;
  return category;
}

/// An `errc` as the `error_code` that it is compared with: `error == downlink::errc::peer_gone`.
inline error_code make_error_code(errc value) noexcept { return {static_cast<int>(value), downlink_category()}; }

/// A value, or the error that stood in its way. Tests as true when it holds a value.
template <class T>
class Result {
 public:
  /// Holds the value.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  /// Holds the error.
  Result(error_code error) : state_(std::in_place_index<1>, error) {}
  /// Holds the error.
  Result(errc error) : Result(make_error_code(error)) {}

  /// Whether it holds a value.
  explicit operator bool() const noexcept { return state_.index() == 0; }

  /// The value. Throws `std::logic_error` with the error's text when there is none.
  const T& value() const& {
    require();
    return std::get<0>(state_);
  }
  /// The value, to be moved out. Throws as above.
  T&& value() && {
    require();
    return std::get<0>(std::move(state_));
  }

  /// The error; a default-constructed one when there is a value.
  error_code error() const noexcept {
    const auto* held = std::get_if<1>(&state_);
    return held ? *held : error_code{};
  }

 private:
  void require() const {
    if (!*this) detail::throw_logic_error("downlink::Result holds no value: " + error().message());
  }

  std::variant<T, error_code> state_;
};

}  // namespace downlink

#ifdef DOWNLINK_BOOST_ASIO
template <>
struct boost::system::is_error_code_enum<downlink::errc> : std::true_type {};
#else
template <>
struct std::is_error_code_enum<downlink::errc> : std::true_type {};
#endif
