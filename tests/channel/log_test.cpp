#include <downlink/channel/log.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using detail::Log;
using detail::Position;
using detail::Record;
using detail::RecordPtr;
using detail::StartPoint;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t no_limit = ~std::size_t{0} >> 1;
constexpr std::uint64_t epoch = 1000;

using Positions = std::vector<Position>;
using Runs = std::vector<std::pair<Position, Position>>;

/// A log with a time of its own.
struct Fixture {
  explicit Fixture(ChannelOptions wanted = {}) : options(std::move(wanted)), log(options, epoch) {}

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

constexpr Position gap = 0;

}  // namespace

TEST_CASE("offsets are dense and begin at 1", "[channel][DESIGN-3.3]") {
  Fixture f;
  CHECK(f.log.head() == 0);
  CHECK(f.log.id_of(0) == MessageId{epoch, 0});
  for (std::uint64_t offset = 1; offset <= 5; ++offset) CHECK(f.publish() == MessageId{epoch, offset});
  CHECK(f.log.id_of(3) == MessageId{epoch, 3});
  CHECK(f.log.head() == 5);
}

TEST_CASE("the history keeps as many messages as its count allows", "[channel][DESIGN-1]") {
  Fixture f({.history = {.max_messages = 3}});
  f.publish_many(3);
  CHECK(f.live() == Positions{1, 2, 3});
  f.publish();
  CHECK(f.live() == Positions{2, 3, 4});
  CHECK(f.log.history_messages() == 3);
}

TEST_CASE("the history keeps as many payload bytes as its bound allows", "[channel][DESIGN-1]") {
  Fixture f({.history = {.max_bytes = 10}});
  for (const std::size_t size : {4u, 3u, 3u}) f.publish(size);
  CHECK(f.live() == Positions{1, 2, 3});
  f.publish(2);
  CHECK(f.live() == Positions{2, 3, 4});
  CHECK(f.log.history_bytes() == 8);
  f.publish(8);
  CHECK(f.live() == Positions{4, 5});
}

TEST_CASE("the newest message is retained even when it alone exceeds the byte bound", "[channel][WIRE-1]") {
  Fixture f({.history = {.max_bytes = 10}});
  f.publish(5);
  f.publish(100);
  CHECK(f.live() == Positions{2});
  CHECK(f.after(1) == Positions{2});
  CHECK(f.after(0) == Positions{gap, 2});
  f.publish(1);
  CHECK(f.live() == Positions{3});
}

TEST_CASE("the history lets go of messages past their age, the newest too", "[channel][DESIGN-1]") {
  Fixture f({.history = {.max_age = 10s}});
  f.publish();
  f.now += 6s;
  f.publish();
  f.now += 4s;
  f.expire();
  CHECK(f.live() == Positions{1, 2});
  f.now += 1ms;
  f.expire();
  CHECK(f.live() == Positions{2});
  CHECK(f.after(0) == Positions{gap, 2});
  CHECK(f.after(1) == Positions{2});
  f.now += 10s;
  f.expire();
  CHECK(f.live().empty());
  CHECK(f.after(1) == Positions{gap});
  CHECK(f.after(2).empty());
}

TEST_CASE("a history of no messages still tells a gap from nothing new", "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 0}});
  f.publish_many(2);
  CHECK(f.live().empty());
  CHECK(f.after(2).empty());
  CHECK(f.after(1) == Positions{gap});
}

TEST_CASE("a cursor older than the history gives a gap, then the oldest message; one at its edge does not",
          "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 3}});
  f.publish_many(10);
  CHECK(f.after(0) == Positions{gap, 8, 9, 10});
  CHECK(f.after(6) == Positions{gap, 8, 9, 10});
  CHECK(f.after(7) == Positions{8, 9, 10});
  CHECK(f.after(9) == Positions{10});
  CHECK(f.after(10).empty());
}

TEST_CASE("a cursor in the future is a gap", "[channel][WIRE-1]") {
  Fixture f;
  f.publish_many(3);
  CHECK(f.after(4) == Positions{gap, 1, 2, 3});
  CHECK(f.after(~std::uint64_t{0}) == Positions{gap, 1, 2, 3});
}

TEST_CASE("a cursor of another epoch, or one that no log made, is a gap", "[channel][WIRE-1]") {
  Fixture f;
  f.publish_many(2);
  CHECK(f.after(1, epoch + 1) == Positions{gap, 1, 2});
  CHECK(f.after(0, 0) == Positions{gap, 1, 2});
  for (const char* text : {"x", "rs-01", "RS-1", "rs-", "rs_1", "1.2.3", "rs-99999999999999999999999"}) {
    CAPTURE(text);
    CHECK(f.from(f.log.start_at_cursor(text)) == Positions{gap, 1, 2});
  }
  CHECK(f.from(f.log.start_at_cursor("rs-1")) == Positions{2});
}

TEST_CASE("the starts without a cursor are the oldest retained message and the end", "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 3}});
  CHECK(f.from(f.log.start_earliest()).empty());
  f.publish_many(5);
  CHECK(f.from(f.log.start_earliest()) == Positions{3, 4, 5});
  CHECK(f.from(f.log.start_latest()).empty());
  f.publish();
  CHECK(f.log.start_latest().next == 7);
}

TEST_CASE("history=N starts N messages before the end or at the oldest retained, never with a gap",
          "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 5}});
  CHECK(f.from(f.log.start_before_end(3)).empty());
  f.publish_many(10);
  CHECK(f.from(f.log.start_before_end(0)).empty());
  CHECK(f.from(f.log.start_before_end(1)) == Positions{10});
  CHECK(f.from(f.log.start_before_end(5)) == Positions{6, 7, 8, 9, 10});
  CHECK(f.from(f.log.start_before_end(6)) == Positions{6, 7, 8, 9, 10});
  CHECK(f.from(f.log.start_before_end(~std::uint64_t{0})) == Positions{6, 7, 8, 9, 10});
}

TEST_CASE("history=N counts retained messages alone", "[channel][WIRE-1]") {
  Fixture f;
  f.publish(1, "a");
  f.publish();
  f.publish(1, "b");
  f.publish(1, "b");
  f.publish(1, {}, 0ms);
  CHECK(f.from(f.log.start_before_end(2)) == Positions{2, 4});
  CHECK(f.from(f.log.start_before_end(3)) == Positions{1, 2, 4});
}

TEST_CASE("the live tail keeps what the history does not while there is somebody to send it to",
          "[channel][DESIGN-1]") {
  Fixture f({.history = {.max_messages = 1}, .max_lag = 100});
  f.publish_many(3);
  CHECK(f.live() == Positions{3});
  f.log.keep_tail(true);
  f.publish_many(4);
  CHECK(f.live(4) == Positions{4, 5, 6, 7});
  CHECK(f.log.lost_through() < 4);
  // What is in the tail alone is no history: a cursor may not ask for it.
  CHECK(f.after(3) == Positions{gap, 7});
  CHECK(f.from(f.log.start_earliest()) == Positions{7});
  CHECK(f.from(f.log.start_before_end(5)) == Positions{7});
  CHECK(f.log.history_messages() == 1);
  f.log.keep_tail(false);
  f.publish();
  CHECK(f.live() == Positions{8});
  CHECK(f.log.lost_through() == 7);
}

TEST_CASE("the live tail holds max_lag payload bytes at most, and the newest message always", "[channel][WIRE-7]") {
  Fixture f({.history = {.max_messages = 1}, .max_lag = 10});
  f.log.keep_tail(true);
  for (const std::size_t size : {4u, 3u, 3u}) f.publish(size);
  CHECK(f.log.tail_first() == 1);
  f.publish(1);
  CHECK(f.log.tail_first() == 2);
  CHECK(f.live() == Positions{2, 3, 4});
  CHECK(f.log.lost_through() == 1);
  f.publish(50);
  CHECK(f.live() == Positions{5});
  CHECK(f.log.tail_first() == 5);
  f.publish(10);
  CHECK(f.live() == Positions{6});
}

TEST_CASE("the live tail holds max_lag_messages at most", "[channel][WIRE-7]") {
  Fixture f({.history = {.max_messages = 1}, .max_lag_messages = 4});
  f.log.keep_tail(true);
  f.publish_many(4);
  CHECK(f.log.tail_first() == 1);
  f.publish_many(3);
  CHECK(f.live() == Positions{4, 5, 6, 7});
  CHECK(f.log.tail_first() == 4);
}

TEST_CASE("messages that were superseded or expired do not count as lag", "[channel][WIRE-1][WIRE-7]") {
  Fixture f({.max_lag = 1000});
  f.publish_many(3);
  f.log.keep_tail(true);
  // A subscriber stands behind message 3 and has begun nothing since.
  SECTION("superseded") {
    f.publish(1, "a");
    f.publish(1, "a");
  }
  SECTION("expired") {
    f.publish(1, {}, 5ms);
    f.now += 1s;
    f.publish();
  }
  CHECK(f.log.lost_through() == 0);
  CHECK(f.log.tail_first() <= 4);
}

TEST_CASE("a message that a newer one of its key supersedes is passed over, never a gap", "[channel][WIRE-1]") {
  Fixture f;
  f.publish(1, "a");
  f.publish(1, "b");
  f.publish(1, "a");
  CHECK(f.live() == Positions{2, 3});
  CHECK(f.after(0) == Positions{2, 3});
  CHECK(f.after(1) == Positions{2, 3});
  CHECK(f.log.history_messages() == 2);
  CHECK(f.log.history_bytes() == 2);
  CHECK(f.log.deaths() == 1);
  CHECK(f.runs(1, 10) == Runs{{2, 4}});
  CHECK(f.log.first_live(1)->position == 2);
  CHECK(f.log.first_live(4) == nullptr);
}

TEST_CASE("a superseded message that leaves the history's place makes no gap", "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 2}});
  f.publish(1, "a");
  f.publish(1, "a");
  f.publish();
  CHECK(f.live() == Positions{2, 3});
  CHECK(f.after(0) == Positions{2, 3});
  f.publish();
  CHECK(f.live() == Positions{3, 4});
  CHECK(f.after(0) == Positions{gap, 3, 4});
  CHECK(f.after(1) == Positions{gap, 3, 4});
  CHECK(f.after(2) == Positions{3, 4});
}

TEST_CASE("a key may come again after its last message has left the history", "[channel][WIRE-1]") {
  Fixture f({.history = {.max_messages = 2}});
  f.publish(1, "a");
  f.publish_many(2);
  f.publish(1, "a");
  CHECK(f.live() == Positions{3, 4});
  CHECK(f.log.deaths() == 0);
  f.publish(1, "a");
  CHECK(f.live() == Positions{3, 5});
}

TEST_CASE("the empty key is a key, and none is none", "[channel][DESIGN-4]") {
  Fixture f;
  f.publish(1, "");
  f.publish();
  f.publish(1, "");
  f.publish();
  CHECK(f.live() == Positions{2, 3, 4});
}

TEST_CASE("a message past its time to live is passed over, never a gap", "[channel][WIRE-1]") {
  Fixture f;
  f.publish(1, {}, 100ms);
  f.publish();
  f.publish(1, {}, 50ms);
  f.now += 49ms;
  f.expire();
  CHECK(f.live() == Positions{1, 2, 3});
  f.now += 1ms;
  f.expire();
  CHECK(f.live() == Positions{1, 2});
  f.now += 50ms;
  f.expire();
  CHECK(f.live() == Positions{2});
  CHECK(f.after(0) == Positions{2});
  CHECK(f.after(2).empty());
  CHECK(f.log.lost_through() == 0);
}

TEST_CASE("a message without time to live is never delivered and still has an id", "[channel][WIRE-1]") {
  Fixture f;
  CHECK(f.publish(1, {}, 0ms).offset == 1);
  CHECK(f.publish(1, {}, -5ms).offset == 2);
  CHECK(f.live().empty());
  CHECK(f.after(0).empty());
  CHECK(f.log.history_messages() == 0);
}

TEST_CASE("the longest time to live and the longest age are as good as for ever", "[channel][DESIGN-3.8]") {
  Fixture f({.history = {.max_age = milliseconds::max()}});
  f.publish(1, {}, milliseconds::max());
  f.publish();
  f.now += 24h * 365;
  f.expire();
  CHECK(f.live() == Positions{1, 2});
}

TEST_CASE("the expiry of a superseded message takes nothing else along", "[channel][WIRE-1]") {
  Fixture f;
  f.publish(1, "a", 10ms);
  f.publish(1, "a");
  f.now += 1s;
  f.expire();
  CHECK(f.live() == Positions{2});
  CHECK(f.log.deaths() == 1);
  f.publish(1, "a");
  CHECK(f.live() == Positions{3});
}

TEST_CASE("a channel of latest values stays right over many superseded messages", "[channel][WIRE-1]") {
  Fixture f;
  const std::string keys[] = {"a", "b", "c"};
  f.publish();
  for (int i = 0; i < 10'000; ++i) f.publish(2, keys[i % 3]);
  f.publish();
  CHECK(f.live() == Positions{1, 9999, 10000, 10001, 10002});
  CHECK(f.after(0) == Positions{1, 9999, 10000, 10001, 10002});
  CHECK(f.after(1) == Positions{9999, 10000, 10001, 10002});
  CHECK(f.after(5000) == Positions{9999, 10000, 10001, 10002});
  CHECK(f.after(10000) == Positions{10001, 10002});
  CHECK(f.from(f.log.start_before_end(3)) == Positions{10000, 10001, 10002});
  CHECK(f.runs(1, 20'000) == Runs{{1, 2}, {9999, 10003}});
  CHECK(f.runs(2, 9999).empty());
  CHECK(f.runs(10'000, 10'001) == Runs{{10'000, 10'001}});
  CHECK(f.log.first_live(2)->position == 9999);
  CHECK(f.log.id_of(10'001) == MessageId{epoch, 10'001});
  CHECK(f.log.history_messages() == 5);
  CHECK(f.log.history_bytes() == 8);
}

TEST_CASE("what is collected is bounded in records and bytes, and one record always comes", "[channel][DESIGN-3.5]") {
  Fixture f;
  for (int i = 0; i < 10; ++i) f.publish(1000);
  std::vector<RecordPtr> records;
  f.log.collect(3, 2, no_limit, records);
  REQUIRE(records.size() == 2);
  CHECK(records.front()->position == 3);
  records.clear();
  f.log.collect(3, no_limit, 1, records);
  CHECK(records.size() == 1);
  records.clear();
  f.log.collect(3, no_limit, 2500, records);
  CHECK(records.size() == 3);
}

TEST_CASE("evicted records are handed out, to be freed outside the lock", "[channel][DESIGN-3.2]") {
  ChannelOptions options{.history = {.max_messages = 2}};
  Log log(options, epoch);
  std::vector<RecordPtr> evicted;
  for (const char* key : {"a", "b", "c", "c"}) {
    auto record = std::make_shared<Record>();
    record->message.key = key;
    log.append(std::move(record), {}, evicted);
  }
  // "a" by the bound, the first "c" because it was superseded.
  REQUIRE(evicted.size() == 2);
  CHECK(evicted[0]->position == 1);
  CHECK(evicted[1]->position == 3);
  evicted.clear();
  REQUIRE(log.seek({epoch, 100}, evicted));
  CHECK(std::count_if(evicted.begin(), evicted.end(), [](const RecordPtr& record) { return record != nullptr; }) == 2);
}

TEST_CASE("a log goes on under the ids that it is given", "[channel][DESIGN-7]") {
  Fixture f;
  f.publish_many(2);
  CHECK(f.seek({epoch, 3}));
  CHECK(f.publish() == MessageId{epoch, 3});
  CHECK(f.live() == Positions{1, 2, 3});
  CHECK(f.after(1) == Positions{2, 3});
}

TEST_CASE("an offset that is not past the newest is refused and changes nothing", "[channel][DESIGN-7]") {
  Fixture f;
  f.publish_many(3);
  CHECK_FALSE(f.seek({epoch, 3}));
  CHECK_FALSE(f.seek({epoch, 1}));
  CHECK_FALSE(f.seek({epoch, 0}));
  CHECK_FALSE(f.seek({epoch + 1, 0}));
  CHECK(f.publish() == MessageId{epoch, 4});
  CHECK(f.live() == Positions{1, 2, 3, 4});
}

TEST_CASE("after a jump forward each standing cursor has a gap, and the ids go on from there", "[channel][DESIGN-7]") {
  Fixture f;
  f.log.keep_tail(true);
  f.publish_many(3);
  const Position standing = f.log.start_latest().next;
  REQUIRE(f.seek({epoch, 100}));
  CHECK(f.publish() == MessageId{epoch, 100});
  CHECK(standing <= f.log.lost_through());
  CHECK(standing <= f.log.reset_through());
  const Position jumped = f.log.head();
  CHECK(f.live() == Positions{jumped});
  CHECK(f.after(2) == Positions{gap, jumped});
  CHECK(f.after(3) == Positions{gap, jumped});
  CHECK(f.after(98) == Positions{gap, jumped});
  CHECK(f.after(99) == Positions{jumped});
  CHECK(f.after(100).empty());
  CHECK(f.after(101) == Positions{gap, jumped});
  CHECK(f.publish() == MessageId{epoch, 101});
  CHECK(f.after(100) == Positions{jumped + 1});
  CHECK(f.log.id_of(jumped) == MessageId{epoch, 100});
}

TEST_CASE("in a new epoch each standing cursor has a gap, and old ids name nothing", "[channel][DESIGN-7]") {
  Fixture f;
  f.log.keep_tail(true);
  f.publish_many(3);
  const Position standing = f.log.start_latest().next;
  REQUIRE(f.seek({epoch + 1, 1}));
  CHECK(f.publish() == MessageId{epoch + 1, 1});
  CHECK(f.publish() == MessageId{epoch + 1, 2});
  CHECK(standing <= f.log.reset_through());
  CHECK(standing <= f.log.lost_through());
  const Position head = f.log.head();
  CHECK(f.after(3, epoch) == Positions{gap, head - 1, head});
  CHECK(f.after(1, epoch) == Positions{gap, head - 1, head});
  CHECK(f.after(0, epoch + 1) == Positions{head - 1, head});
  CHECK(f.after(1, epoch + 1) == Positions{head});
  CHECK(f.after(2, epoch + 1).empty());
  CHECK(f.after(3, epoch + 1) == Positions{gap, head - 1, head});
  CHECK(f.log.id_of(head) == MessageId{epoch + 1, 2});
  CHECK(f.log.id_of(3) == MessageId{epoch, 3});
  CHECK(f.log.id_of(1) == MessageId{epoch, 1});
}

TEST_CASE("an epoch that begins in its middle knows no cursor before its beginning", "[channel][DESIGN-7]") {
  Fixture f;
  f.publish_many(3);
  REQUIRE(f.seek({epoch + 1, 500}));
  CHECK(f.publish() == MessageId{epoch + 1, 500});
  const Position head = f.log.head();
  CHECK(f.after(499, epoch + 1) == Positions{head});
  CHECK(f.after(498, epoch + 1) == Positions{gap, head});
  CHECK(f.after(0, epoch + 1) == Positions{gap, head});
  CHECK(f.after(~std::uint64_t{0}, epoch + 1) == Positions{gap, head});
}

TEST_CASE("keys and times to live do not reach back over a jump", "[channel][DESIGN-7]") {
  Fixture f;
  f.publish(1, "a", 10ms);
  REQUIRE(f.seek({epoch, 50}));
  f.publish(1, "a");
  f.now += 1s;
  f.expire();
  CHECK(f.live() == Positions{f.log.head()});
  CHECK(f.log.history_messages() == 1);
  CHECK(f.log.deaths() == 0);
}

TEST_CASE("many epochs one after another leave the newest right", "[channel][DESIGN-7]") {
  Fixture f;
  for (std::uint64_t next = 1; next <= 100; ++next) {
    REQUIRE(f.seek({epoch + next, next}));
    CHECK(f.publish() == MessageId{epoch + next, next});
    CHECK(f.publish() == MessageId{epoch + next, next + 1});
    CHECK(f.after(next, epoch + next) == Positions{f.log.head()});
    CHECK(f.after(next, epoch + next - 1).front() == gap);
  }
}

TEST_CASE("records of one block say where it begins, so that neighbouring readers share its encoding",
          "[channel][DESIGN-1]") {
  Fixture f({.history = {.max_messages = 100'000}});
  for (int i = 0; i < 3000; ++i) f.publish(i % 7 == 0 ? 3000 : 10);
  std::vector<RecordPtr> records;
  f.log.collect(1, no_limit, no_limit, records);
  REQUIRE(records.size() == 3000);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& record = *records[i];
    const bool begins = record.block == record.position;
    const bool goes_on = i > 0 && record.block == records[i - 1]->block;
    if (begins == goes_on) FAIL("at " << record.position);
    if (record.position - record.block >= 256) FAIL("a long block at " << record.position);
  }
}

// --- against a model ----------------------------------------------------------------------------------------------

namespace {

/// The same log without any cleverness: every message ever published in a vector, and each question answered by
/// looking at all of them.
class Model {
 public:
  struct Item {
    Position position = 0;
    MessageId id = {};
    std::size_t size = 0;
    std::optional<std::string> key = {};
    TimePoint published = {};
    std::optional<TimePoint> expires = {};
    bool dead = false;
    bool in_history = true;
    bool in_tail = false;
    bool removed = false;

    bool live() const { return !dead && !removed; }
  };

  explicit Model(const ChannelOptions& options) : options_(options) { places_.push_back({epoch, 0}); }

  void append(Item item, TimePoint now) {
    if (item.key) {
      for (auto& other : items_) {
        if (other.live() && other.key == item.key) kill(other);
      }
    }
    places_.push_back({places_.back().epoch, places_.back().offset + 1});
    item.position = head();
    item.id = places_.back();
    item.published = now;
    item.in_tail = keep_tail_;
    items_.push_back(std::move(item));
    kill_expired(now);
    trim(now);
  }

  void expire(TimePoint now) {
    kill_expired(now);
    if (options_.history.max_age.count() > 0) trim(now);
  }

  void keep_tail(bool keep) {
    keep_tail_ = keep;
    if (keep) return;
    for (auto& item : items_) item.in_tail = false;
  }

  bool seek(MessageId id) {
    const MessageId last = places_.back();
    if (id.epoch == last.epoch && id.offset == last.offset + 1) return true;
    if (id.offset == 0 || (id.epoch == last.epoch && id.offset <= last.offset)) return false;
    if (id.epoch == last.epoch) {
      while (places_.back().offset + 1 < id.offset) places_.push_back({id.epoch, places_.back().offset + 1});
    } else {
      places_.push_back({id.epoch, id.offset - 1});
    }
    for (auto& item : items_) item.removed = true;
    history_lost_ = lost_ = head();
    return true;
  }

  Position head() const { return places_.size() - 1; }
  MessageId id_of(Position position) const { return places_[position]; }
  Position lost_through() const { return lost_; }
  std::uint64_t deaths() const { return deaths_; }

  Positions live(Position from) const {
    Positions found;
    for (const auto& item : items_) {
      if (item.live() && item.position >= from) found.push_back(item.position);
    }
    return found;
  }
  Positions history() const {
    Positions found;
    for (const auto& item : items_) {
      if (item.live() && item.in_history) found.push_back(item.position);
    }
    return found;
  }
  std::size_t history_bytes() const {
    std::size_t bytes = 0;
    for (const auto& item : items_) bytes += item.live() && item.in_history ? item.size : 0;
    return bytes;
  }
  /// What a reader with this cursor gets; a gap is position 0.
  Positions after(MessageId id) const {
    for (Position position = places_.size(); position-- > 0;) {
      if (places_[position].epoch != places_.back().epoch) break;
      if (places_[position] != id) continue;
      if (position < history_lost_) break;
      auto found = history();
      std::erase_if(found, [&](Position other) { return other <= position; });
      return found;
    }
    auto found = history();
    found.insert(found.begin(), 0);
    return found;
  }
  Runs runs(Position from, Position to) const {
    Runs found;
    for (const Position position : live(from)) {
      if (position >= to) break;
      if (!found.empty() && found.back().second == position) {
        ++found.back().second;
      } else {
        found.push_back({position, position + 1});
      }
    }
    return found;
  }

 private:
  void kill(Item& item) {
    item.dead = true;
    ++deaths_;
  }
  void kill_expired(TimePoint now) {
    for (auto& item : items_) {
      if (item.live() && item.expires && *item.expires <= now) kill(item);
    }
  }
  void trim(TimePoint now) {
    const auto& bound = options_.history;
    for (auto& item : items_) {
      if (!item.live() || !item.in_history) continue;
      const bool too_old = bound.max_age.count() > 0 && item.published + bound.max_age < now;
      const bool too_big = history_bytes() > bound.max_bytes && item.position != head();
      if (history().size() <= bound.max_messages && !too_old && !too_big) break;
      item.in_history = false;
      history_lost_ = item.position;
    }
    for (auto& item : items_) {
      if (!item.live() || !item.in_tail) continue;
      std::size_t bytes = 0;
      std::size_t messages = 0;
      for (const auto& other : items_) {
        if (!other.live() || !other.in_tail) continue;
        bytes += other.size;
        ++messages;
      }
      if ((bytes <= options_.max_lag && messages <= options_.max_lag_messages) || item.position == head()) break;
      item.in_tail = false;
    }
    for (auto& item : items_) {
      if (!item.live() || item.in_history || item.in_tail) continue;
      item.removed = true;
      lost_ = item.position;
    }
  }

  const ChannelOptions& options_;
  std::vector<Item> items_;
  std::vector<MessageId> places_;  // the id at each position
  Position history_lost_ = 0;
  Position lost_ = 0;
  std::uint64_t deaths_ = 0;
  bool keep_tail_ = false;
};

/// Lets a log and its model do the same at random, and compares all that can be asked.
class Comparison {
 public:
  Comparison(unsigned seed, const ChannelOptions& options, bool keyed)
      : seed_(seed), keyed_(keyed), random_(seed), f_(options), model_(f_.options) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      act();
      compare(step);
    }
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

  void act() {
    f_.now += milliseconds(below(4));
    const unsigned kind = below(100);
    if (kind < 2) {
      const bool keep = below(2) == 0;
      f_.log.keep_tail(keep);
      model_.keep_tail(keep);
    } else if (kind < 8) {
      f_.expire();
      model_.expire(f_.now);
    } else if (kind < 10) {
      const MessageId last = f_.log.id_of(f_.log.head());
      MessageId to{last.epoch, last.offset + below(5)};
      if (epochs_ < 12 && below(4) == 0) to = {epoch + ++epochs_, below(20)};
      if (f_.seek(to) != model_.seek(to)) FAIL("seek, seed " << seed_);
    } else {
      publish();
    }
  }

  void publish() {
    Model::Item item;
    item.size = below(20) == 0 ? below(500) : below(20);
    if (keyed_ && below(3) != 0) item.key = std::string(1, static_cast<char>('a' + below(5)));
    std::optional<milliseconds> ttl;
    if (below(5) == 0) ttl = milliseconds(below(100));
    if (ttl) item.expires = f_.now + *ttl;
    f_.publish(item.size, item.key, ttl);
    model_.append(std::move(item), f_.now);
  }

  template <class T>
  void same(const char* what, int step, const T& found, const T& expected) {
    if (found == expected) return;
    CAPTURE(what, seed_, step);
    REQUIRE(found == expected);
  }

  void compare(int step) {
    const Log& log = f_.log;
    const Position head = log.head();
    same("head", step, head, model_.head());
    same("lost", step, log.lost_through(), model_.lost_through());
    same("deaths", step, log.deaths(), model_.deaths());
    same("messages", step, log.history_messages(), model_.history().size());
    same("bytes", step, log.history_bytes(), model_.history_bytes());

    const Position from = 1 + random_() % (head + 2);
    const Position to = from + random_() % (head + 2);
    same("live", step, f_.live(from), model_.live(from));
    same("runs", step, f_.runs(from, to), model_.runs(from, to));
    same("id", step, log.id_of(from - 1 > head ? head : from - 1), model_.id_of(from - 1 > head ? head : from - 1));
    const Record* first = log.first_live(from);
    const auto live = model_.live(from);
    same("first", step, first ? first->position : 0, live.empty() ? 0 : live.front());

    MessageId cursor = model_.id_of(random_() % (head + 1));
    if (below(3) == 0) cursor.offset = model_.id_of(head).offset - std::min<std::uint64_t>(below(30), cursor.offset);
    if (below(20) == 0) cursor.offset += below(40);
    same("cursor", step, f_.from(log.start_at_cursor(cursor.to_string())), model_.after(cursor));
    same("earliest", step, f_.from(log.start_earliest()), model_.history());
    const std::size_t count = below(20);
    auto last = model_.history();
    last.erase(last.begin(), last.end() - static_cast<std::ptrdiff_t>(std::min(count, last.size())));
    same("history", step, f_.from(log.start_before_end(count)), last);
  }

  const unsigned seed_;
  const bool keyed_;
  std::mt19937 random_;
  std::uint64_t epochs_ = 0;
  Fixture f_;
  Model model_;
};

}  // namespace

TEST_CASE("a log answers every question as one that keeps everything would", "[channel][DESIGN-1]") {
  std::mt19937 random(9);
  for (unsigned seed = 1; seed <= 60; ++seed) {
    ChannelOptions options;
    options.history.max_messages = seed % 3 == 0 ? 300 : 1 + random() % 20;
    options.history.max_bytes = seed % 4 == 0 ? 100'000 : random() % 400;
    options.history.max_age = milliseconds(seed % 5 == 0 ? random() % 100 : 0);
    options.max_lag = 1 + random() % 300;
    options.max_lag_messages = seed % 2 == 0 ? 1'000 : 1 + random() % 30;
    Comparison(seed, options, seed % 4 != 1).run(500);
  }
}

TEST_CASE("a log whose messages mostly die answers as one that keeps everything would", "[channel][WIRE-1]") {
  // Large bounds and few keys: dead places are the majority and are taken out again and again.
  for (unsigned seed = 1; seed <= 6; ++seed) Comparison(seed, {.max_lag = 500}, true).run(1200);
}
