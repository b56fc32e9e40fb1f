#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <downlink/channel/channel.hpp>
#include <downlink/random.hpp>

namespace downlink {

/// How a hub makes and keeps its channels.
struct HubOptions {
  /// The options of each channel that the hub makes. By default those of a channel made without any.
  ChannelOptions channel = {};
  /// Channels at most; past it `open` answers `errc::too_many_channels`. By default 100,000: with a pattern route it is
  /// the clients who make up the names, and so many empty channels take 150 MB.
  std::size_t max_channels = 100'000;
  /// A channel goes when it has been without subscribers and new messages, and nobody was seen to hold a handle to it,
  /// for this long. The hub looks as channels are opened and in `expire_idle`. By default a minute: longer than clients
  /// need to reconnect and resume, short enough that made-up names go.
  std::chrono::milliseconds idle_expiry{60'000};
};

/// Channels by name, made when first used. A copyable handle; safe from any thread. A channel that somebody holds a
/// handle to, or is subscribed to, never expires.
class Hub {
 public:
  /// A hub without channels. Throws `std::invalid_argument` for contradictory options, the channels' too.
  explicit Hub(HubOptions options = {});

  /// The channel of this name, made if there is none. Errors: `bad_channel_name`, `too_many_channels`.
  Result<Channel> open(std::string_view name) const;

  /// How many channels there are, expired ones that were not swept yet included.
  std::size_t size() const;

  /// The subscribers of all its channels.
  std::size_t subscriber_count() const;

  /// What it holds and what it has seen. Looks at each channel under the hub's lock: not for every request where there
  /// are very many.
  HubStats stats() const;

  /// Lets go of every channel whose idle time is over. `open` does a part of it each time, so calling this is only
  /// needed where channels are opened rarely and memory matters.
  void expire_idle() const;

  /// Closes every channel.
  void close() const;

  /// What it was made with.
  const HubOptions& options() const;

  /// 1 to 128 characters of `[A-Za-z0-9._~-]`, not `.` or `..` (WIRE §10).
  static bool valid_name(std::string_view name);

 private:
  struct State;

  static constexpr std::size_t sweep_at_once = 2;

  std::shared_ptr<State> state_;
};

#if DOWNLINK_DEFINITIONS

struct Hub::State {
  struct Entry {
    Channel channel;
    TimePoint held;  // when somebody was last seen to hold a handle
  };

  // Ordered: it is clients who make up the names, and ones that share a hash would all have to be looked at.
  using Channels = std::map<std::string, Entry, std::less<>>;

  bool expired(Entry& entry, TimePoint now) const {
    const auto& shared = detail::ChannelAccess::state(entry.channel);
    if (shared.use_count() > 1) {
      entry.held = now;
      return false;
    }
    return shared->subscribers() == 0 && now - std::max(entry.held, shared->last_use()) >= options.idle_expiry;
  }

  void expire_all(TimePoint now) {
    for (auto entry = channels.begin(); entry != channels.end();) {
      entry = expired(entry->second, now) ? retire(entry) : std::next(entry);
    }
  }

  // A channel goes: what it held goes with it, what it has seen stays in the sum. Gives the one behind it.
  Channels::iterator retire(Channels::iterator entry) {
    keep_figures(entry->second.channel);
    ++past.expired;
    if (sweeping == entry) ++sweeping;
    return channels.erase(entry);
  }

  void keep_figures(const Channel& channel) {
    ChannelStats seen = channel.stats();
    seen.subscribers = seen.history_messages = seen.history_bytes = seen.retained_messages = seen.retained_bytes = 0;
    seen.encoded_bytes = seen.pinned_bytes = 0;
    past.sum.add(seen);
  }

  // Looking at every channel takes milliseconds where there are many: whoever is refused may not ask for it each
  // time.
  void make_room(TimePoint now) {
    if (now < next_full_look) return;
    expire_all(now);
    next_full_look = now + std::min<std::chrono::milliseconds>(options.idle_expiry / 8, std::chrono::seconds(1));
  }

  // Looks at the next `count` channels, going round.
  void sweep(TimePoint now, std::size_t count) {
    for (; count > 0 && !channels.empty(); --count) {
      if (sweeping == channels.end()) sweeping = channels.begin();
      const auto entry = sweeping++;
      if (expired(entry->second, now)) retire(entry);
    }
  }

  // Each is another one, made of what was drawn with the hub: when a request makes a channel, no
  // descriptor to draw from may be left.
  std::uint64_t next_epoch() { return detail::epoch_of(detail::random_at(random += detail::random_step)); }

  mutable std::mutex mutex;
  HubOptions options;
  Channels channels;
  Channels::iterator sweeping = channels.end();  // the next to look at
  HubStats past;
  TimePoint next_full_look{};
  std::uint64_t random = detail::random_bits();
};

DOWNLINK_DECL Hub::Hub(HubOptions options) : state_(std::make_shared<State>()) {
  if (options.max_channels == 0) throw std::invalid_argument("HubOptions: max_channels must be above zero");
  detail::ChannelState::check(options.channel);
  if (!options.channel.clock) options.channel.clock = std::make_shared<Clock>();
  options.idle_expiry = std::clamp(options.idle_expiry, std::chrono::milliseconds::zero(), detail::longest_wait);
  state_->options = std::move(options);
}

DOWNLINK_DECL Result<Channel> Hub::open(std::string_view name) const {
  if (!valid_name(name)) return errc::bad_channel_name;
  auto& state = *state_;
  const std::lock_guard guard(state.mutex);
  const TimePoint now = state.options.channel.clock->now();
  state.sweep(now, sweep_at_once);
  auto found = state.channels.find(name);
  if (found != state.channels.end() && state.expired(found->second, now)) {
    state.retire(found);
    found = state.channels.end();
  }
  if (found != state.channels.end()) return found->second.channel;
  if (state.channels.size() >= state.options.max_channels) state.make_room(now);
  if (state.channels.size() >= state.options.max_channels) {
    ++state.past.refused;
    return errc::too_many_channels;
  }
  Channel made =
      detail::ChannelAccess::handle(std::make_shared<detail::ChannelState>(state.options.channel, state.next_epoch()));
  ++state.past.created;
  state.channels.emplace(std::string(name), State::Entry{made, now});
  return made;
}

DOWNLINK_DECL std::size_t Hub::size() const {
  const std::lock_guard guard(state_->mutex);
  return state_->channels.size();
}

DOWNLINK_DECL std::size_t Hub::subscriber_count() const {
  const std::lock_guard guard(state_->mutex);
  std::size_t sum = 0;
  for (const auto& [name, entry] : state_->channels) sum += entry.channel.subscriber_count();
  return sum;
}

DOWNLINK_DECL HubStats Hub::stats() const {
  const std::lock_guard guard(state_->mutex);
  HubStats stats = state_->past;
  stats.channels = state_->channels.size();
  for (const auto& [name, entry] : state_->channels) stats.sum.add(entry.channel.stats());
  return stats;
}

DOWNLINK_DECL void Hub::expire_idle() const {
  const std::lock_guard guard(state_->mutex);
  state_->expire_all(state_->options.channel.clock->now());
}

DOWNLINK_DECL void Hub::close() const {
  std::vector<Channel> closing;
  {
    const std::lock_guard guard(state_->mutex);
    for (const auto& [name, entry] : state_->channels) {
      closing.push_back(entry.channel);
      state_->keep_figures(entry.channel);
    }
    state_->channels.clear();
    state_->sweeping = state_->channels.end();
  }
  for (auto& channel : closing) channel.close();
}

DOWNLINK_DECL const HubOptions& Hub::options() const { return state_->options; }

DOWNLINK_DECL bool Hub::valid_name(std::string_view name) {
  if (name.empty() || name.size() > 128 || name == "." || name == "..") return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '~' && c != '-') return false;
  }
  return true;
}

#endif

}  // namespace downlink
