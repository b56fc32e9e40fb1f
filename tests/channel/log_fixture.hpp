#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/log.hpp>

namespace downlink::testing {

using namespace std::chrono_literals;
using detail::Log;
using detail::Position;
using detail::Record;
using detail::RecordPtr;
using detail::StartPoint;
using std::chrono::milliseconds;

inline constexpr std::size_t no_limit = ~std::size_t{0} >> 1;
inline constexpr std::uint64_t epoch = 1000;

using Positions = std::vector<Position>;
using Runs = std::vector<std::pair<Position, Position>>;

/// A log with a time of its own.
struct LogFixture {
  explicit LogFixture(ChannelOptions wanted = {}) : options(std::move(wanted)), log(options, epoch) {}

  MessageId publish(std::size_t size = 1, std::optional<std::string> key = {}, std::optional<milliseconds> ttl = {}) {
    auto record = std::make_shared<Record>();
    record->message = {.data = std::string(size, 'x'), .key = std::move(key), .time_to_live = ttl};
    std::vector<RecordPtr> evicted;
    return log.append(std::move(record), now, evicted);
  }
  void publish_many(int count) {
    for (; count > 0; --count) publish();
  }
  void expire() {
    std::vector<RecordPtr> evicted;
    log.expire(now, evicted);
  }
  bool seek(MessageId id) {
    std::vector<RecordPtr> evicted;
    return log.seek(id, evicted);
  }
  /// The positions of the live records from `from` on.
  Positions live(Position from = 1) const {
    std::vector<RecordPtr> records;
    log.collect(from, no_limit, no_limit, records);
    Positions positions;
    for (const auto& record : records) positions.push_back(record->position);
    return positions;
  }
  /// The same through a cursor behind `offset`; a gap comes first, as position 0.
  Positions after(std::uint64_t offset, std::uint64_t in = epoch) const {
    return from(log.start_at_cursor(MessageId{in, offset}.to_string()));
  }
  Positions from(StartPoint start) const {
    auto positions = live(start.next);
    if (start.gap) positions.insert(positions.begin(), 0);
    return positions;
  }
  Runs runs(Position from, Position to) const {
    Runs found;
    log.live_runs(from, to, [&](Position first, Position last) { found.push_back({first, last}); });
    return found;
  }

  ChannelOptions options;
  Log log;
  TimePoint now = TimePoint{} + 1h;
};

/// What stands for a gap in front of positions.
inline constexpr Position gap = 0;

}  // namespace downlink::testing
