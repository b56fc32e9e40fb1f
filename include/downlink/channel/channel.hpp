#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <downlink/channel/channel_state.hpp>

namespace downlink {

namespace detail {
struct ChannelAccess;
}

/// A cheap handle to one log and its wake-ups: copies share them. Safe from any thread; may outlive every `io_context`.
class Channel {
 public:
  /// A channel with a new, empty log. Throws `std::invalid_argument` for contradictory options.
  explicit Channel(ChannelOptions options = {}) : state_(detail::ChannelState::make(std::move(options))) {}

  /// Appends under an id that an engine outside gave. A jump forward within the epoch, or another epoch, drops what is
  /// retained, and each standing cursor has a gap. `errc::offset_not_increasing` for an offset not past the newest, or
  /// of 2^64 - 1, past which there is none.
  Result<MessageId> append(MessageId id, Message message) { return state_->append(std::move(message), &id); }

  /// The newest message's id; before the first one, the position it will come after.
  MessageId latest() const { return state_->id_of(state_->head()); }

  /// How many subscribers are connected, held polls included.
  std::size_t subscriber_count() const { return state_->subscribers(); }

  /// How many messages a cursor may ask for now.
  std::size_t history_size() const { return state_->history_messages(); }

  /// What it holds and what it has seen. Takes the publishers' lock for a moment.
  ChannelStats stats() const { return state_->stats(); }

  /// Ends the channel: publishing answers `errc::channel_closed`, subscribers get what is there and are then ended.
  void close() { state_->close(); }
  /// Whether it was closed.
  bool closed() const { return state_->closed(); }

  /// What it was made with.
  const ChannelOptions& options() const { return state_->options(); }

  /// Whether both are handles to the same channel.
  friend bool operator==(const Channel&, const Channel&) = default;

 private:
  friend struct detail::ChannelAccess;
  explicit Channel(std::shared_ptr<detail::ChannelState> state) : state_(std::move(state)) {}

  std::shared_ptr<detail::ChannelState> state_;
};

namespace detail {

/// The library's own way from the handle to what it shares.
struct ChannelAccess {
  static const std::shared_ptr<ChannelState>& state(const Channel& channel) { return channel.state_; }
  static Channel handle(std::shared_ptr<ChannelState> state) { return Channel(std::move(state)); }
};

}  // namespace detail
}  // namespace downlink
