#pragma once

#include <algorithm>
#include <cstdint>

namespace downlink {

/// What a channel holds now, and what it has seen since it was made. A copy of plain numbers; those that change at the
/// same time may be of different moments.
struct ChannelStats {
  /// Subscribers that are connected now: streams, held polls and the application's own.
  std::uint64_t subscribers = 0;
  /// The newest message's offset; 0 in a hub's sum.
  std::uint64_t head_offset = 0;
  /// Messages that a cursor may ask for now.
  std::uint64_t history_messages = 0;
  /// The bytes of their payloads.
  std::uint64_t history_bytes = 0;
  /// Messages that are kept now: the history, or the live tail where that reaches further back.
  std::uint64_t retained_messages = 0;
  /// The bytes of their payloads.
  std::uint64_t retained_bytes = 0;
  /// Memory of the encoded copies now; `ChannelOptions::max_encoded` bounds it.
  std::uint64_t encoded_bytes = 0;
  /// Memory of encoded copies that were dropped, but that slow subscribers still hold; `ChannelOptions::max_pinned`
  /// bounds it.
  std::uint64_t pinned_bytes = 0;

  /// Messages that were published.
  std::uint64_t published_messages = 0;
  /// The bytes of their payloads.
  std::uint64_t published_bytes = 0;
  /// Messages that are no longer kept because of the log's bounds, their age included, or an engine's jump.
  std::uint64_t evicted_messages = 0;
  /// Messages that are no longer kept because their time to live is over.
  std::uint64_t expired_messages = 0;
  /// Messages that are no longer kept because a newer one of their key came.
  std::uint64_t superseded_messages = 0;

  /// Readers that came with a cursor, polls included.
  std::uint64_t resumes = 0;
  /// How often messages were lost to a reader, which was told so, or ended where there is no place to tell it.
  std::uint64_t gaps = 0;
  /// How often a subscriber that lagged too far went on at the newest message. Each is a gap too.
  std::uint64_t skips = 0;
  /// Subscribers that were dropped for being too slow.
  std::uint64_t drops = 0;
  /// The most messages that a subscriber has been behind when it took bytes again or was dropped or skipped.
  std::uint64_t largest_lag_messages = 0;
  /// The same in payload bytes, as far as they were still kept. Some that were superseded or have expired may count
  /// too, but it is never more than all that was kept.
  std::uint64_t largest_lag_bytes = 0;

  /// Adds another channel's figures to this sum; of the largest lags, the larger one stays.
  void add(const ChannelStats& other) {
    subscribers += other.subscribers;
    history_messages += other.history_messages;
    history_bytes += other.history_bytes;
    retained_messages += other.retained_messages;
    retained_bytes += other.retained_bytes;
    encoded_bytes += other.encoded_bytes;
    pinned_bytes += other.pinned_bytes;
    published_messages += other.published_messages;
    published_bytes += other.published_bytes;
    evicted_messages += other.evicted_messages;
    expired_messages += other.expired_messages;
    superseded_messages += other.superseded_messages;
    resumes += other.resumes;
    gaps += other.gaps;
    skips += other.skips;
    drops += other.drops;
    largest_lag_messages = std::max(largest_lag_messages, other.largest_lag_messages);
    largest_lag_bytes = std::max(largest_lag_bytes, other.largest_lag_bytes);
  }
};

/// What a hub holds now, and what it has seen since it was made.
struct HubStats {
  /// Channels now, expired ones that were not swept yet included.
  std::uint64_t channels = 0;
  /// Channels that were made.
  std::uint64_t created = 0;
  /// Channels that went for being idle.
  std::uint64_t expired = 0;
  /// How often a channel was not made because there were too many.
  std::uint64_t refused = 0;
  /// The sum over its channels; what counts up includes those that have gone.
  ChannelStats sum = {};
};

}  // namespace downlink
