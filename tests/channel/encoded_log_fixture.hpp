#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/channel_state.hpp>

#include "channel/log_fixture.hpp"
#include "support/catch.hpp"
#include "support/manual_clock.hpp"

namespace downlink::testing {

using namespace std::chrono_literals;
using detail::ChannelState;
using detail::EncodedLog;
using detail::EncodedUse;
using detail::Form;
using detail::form_ops;
using detail::LockedLog;
using detail::Log;
using detail::Piece;
using detail::Position;
using detail::Range;
using detail::ReadLimits;
using detail::Record;
using detail::RecordPtr;
using std::chrono::milliseconds;

struct Plain {
  static void encode(std::string& out, const MessageView& message) {
    out.append(message.id).append("|").append(message.event).append("|").append(message.data).append("\n");
  }
};

struct Wordy {
  static void encode(std::string& out, const MessageView& message) {
    out.append("<message size='").append(std::to_string(message.data.size())).append("' id='").append(message.id);
    out.append(message.binary ? "' binary>" : "'>").append(message.data).append("</message>");
  }
};

/// Calls back in the middle of encoding, which is when a publisher may be at work too.
struct Interrupted {
  static inline std::function<void()> meanwhile;

  static void encode(std::string& out, const MessageView& message) {
    Plain::encode(out, message);
    if (auto call = std::exchange(meanwhile, {})) call();
  }
};

inline std::vector<RecordPtr> live_records(ChannelState& state, Position from) {
  std::vector<RecordPtr> records;
  Position head = 0;
  state.read_records(from, no_limit, no_limit, records, head);
  return records;
}

inline std::string encoded(Form form, const Record& record) {
  std::string text;
  const std::string id = record.id.to_string();
  form->encode(text, {id, record.message.event, record.message.data, record.message.binary});
  return text;
}

/// What a reader at `from` is to get: the encodings of all live messages, one after another.
inline std::string expected(ChannelState& state, Form form, Position from) {
  std::string text;
  for (const auto& record : live_records(state, from)) text += encoded(form, *record);
  return text;
}

inline std::string bytes_of(const Range& range) {
  std::string text;
  for (const Piece& piece : range.pieces) text.append(piece.data(), piece.size());
  return text;
}

/// What is wrong with a range in itself; nothing when it is as promised.
inline std::string flaw(const Range& range, Position from, const ReadLimits& limits) {
  if (range.from != from) return "it begins elsewhere";
  if (range.lost) return range.pieces.empty() ? "" : "it is lost and has pieces";
  std::size_t bytes = 0;
  std::size_t messages = 0;
  Position position = from;
  for (const Piece& piece : range.pieces) {
    if (piece.size() == 0) return "an empty piece";
    if (piece.first < position || piece.last <= piece.first) return "pieces out of order";
    if (piece.begin != piece.segment->begin_of(piece.first)) return "a piece that begins inside a message";
    if (piece.end != piece.segment->end_of(piece.last - 1)) return "a piece that ends inside a message";
    position = piece.last;
    bytes += piece.size();
    for (Position at = piece.first; at < piece.last; ++at) {
      messages += piece.segment->begin_of(at) < piece.segment->end_of(at) ? 1 : 0;
    }
  }
  if (range.next < position) return "the next position is inside it";
  if (range.bytes != bytes) return "its bytes are not those of its pieces";
  if (range.pieces.size() > limits.pieces) return "too many pieces";
  if (messages > limits.messages) return "too many messages";
  if (bytes > limits.bytes && messages > 1) return "too many bytes";
  if (range.more && range.next == from) return "no progress";
  return "";
}

/// Reads on from `from` until nothing is left. A flaw takes the place of the bytes.
inline std::string read_all(ChannelState& state, Form form, Position from, const ReadLimits& limits = {}) {
  std::string text;
  Range range;
  Position head = state.head();
  do {
    state.read(form, from, limits, range);
    if (const auto wrong = flaw(range, from, limits); !wrong.empty()) return wrong;
    if (range.lost) return "lost";
    text += bytes_of(range);
    from = range.next;
  } while (range.more);
  if (from != head + 1) return "it ends elsewhere";
  return text;
}

/// Compares without printing megabytes.
inline void require_same(const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  const auto at = static_cast<std::size_t>(
      std::mismatch(found.begin(), found.end(), wanted.begin(), wanted.end()).first - found.begin());
  const auto begin = at < 40 ? 0 : at - 40;
  INFO("different at " << at << ", sizes " << found.size() << " and " << wanted.size());
  CHECK(found.substr(begin, 120) == wanted.substr(begin, 120));
  FAIL("not the same");
}

struct EncodedLogFixture {
  static constexpr std::uint64_t epoch = 7;

  explicit EncodedLogFixture(ChannelOptions wanted = {}) : clock(std::make_shared<ManualClock>()) {
    wanted.clock = clock;
    if (wanted.history.max_messages == 1000) wanted.history.max_messages = 100'000;
    state.emplace(std::move(wanted), epoch);
  }
  void publish(std::string data, std::optional<std::string> key = {}, std::optional<milliseconds> ttl = {}) {
    REQUIRE(state->append({.data = std::move(data), .key = std::move(key), .time_to_live = ttl}));
  }
  void publish_many(int count, std::size_t size = 20) {
    for (; count > 0; --count) publish(std::string(size, static_cast<char>('a' + count % 26)));
  }
  void check(Form form, Position from, const ReadLimits& limits = {}) {
    require_same(read_all(*state, form, from, limits), expected(*state, form, from));
  }

  std::shared_ptr<ManualClock> clock;
  std::optional<ChannelState> state;
};

inline const Form plain = &form_ops<Plain>;
inline const Form wordy = &form_ops<Wordy>;

}  // namespace downlink::testing
