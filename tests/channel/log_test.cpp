#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "channel/log_fixture.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("offsets are dense and begin at 1", "[channel][DESIGN-3.3]") {
  LogFixture f;
  CHECK(f.log.head() == 0);
  CHECK(f.log.id_of(0) == MessageId{epoch, 0});
  for (std::uint64_t offset = 1; offset <= 5; ++offset) CHECK(f.publish() == MessageId{epoch, offset});
  CHECK(f.log.id_of(3) == MessageId{epoch, 3});
  CHECK(f.log.head() == 5);
}

TEST_CASE("the history keeps as many messages as its count allows", "[channel][DESIGN-1]") {
  LogFixture f({.history = {.max_messages = 3}});
  f.publish_many(3);
  CHECK(f.live() == Positions{1, 2, 3});
  f.publish();
  CHECK(f.live() == Positions{2, 3, 4});
  CHECK(f.log.history_messages() == 3);
}

TEST_CASE("the history keeps as many payload bytes as its bound allows", "[channel][DESIGN-1]") {
  LogFixture f({.history = {.max_bytes = 10}});
  for (const std::size_t size : {4u, 3u, 3u}) f.publish(size);
  CHECK(f.live() == Positions{1, 2, 3});
  f.publish(2);
  CHECK(f.live() == Positions{2, 3, 4});
  CHECK(f.log.history_bytes() == 8);
  f.publish(8);
  CHECK(f.live() == Positions{4, 5});
}

TEST_CASE("the newest message is retained even when it alone exceeds the byte bound", "[channel][WIRE-1]") {
  LogFixture f({.history = {.max_bytes = 10}});
  f.publish(5);
  f.publish(100);
  CHECK(f.live() == Positions{2});
  CHECK(f.after(1) == Positions{2});
  CHECK(f.after(0) == Positions{gap, 2});
  f.publish(1);
  CHECK(f.live() == Positions{3});
}

TEST_CASE("the history lets go of messages past their age, the newest too", "[channel][DESIGN-1]") {
  LogFixture f({.history = {.max_age = 10s}});
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
  LogFixture f({.history = {.max_messages = 0}});
  f.publish_many(2);
  CHECK(f.live().empty());
  CHECK(f.after(2).empty());
  CHECK(f.after(1) == Positions{gap});
}

TEST_CASE("a cursor older than the history gives a gap, then the oldest message; one at its edge does not",
          "[channel][WIRE-1]") {
  LogFixture f({.history = {.max_messages = 3}});
  f.publish_many(10);
  CHECK(f.after(0) == Positions{gap, 8, 9, 10});
  CHECK(f.after(6) == Positions{gap, 8, 9, 10});
  CHECK(f.after(7) == Positions{8, 9, 10});
  CHECK(f.after(9) == Positions{10});
  CHECK(f.after(10).empty());
}

TEST_CASE("a cursor in the future is a gap", "[channel][WIRE-1]") {
  LogFixture f;
  f.publish_many(3);
  CHECK(f.after(4) == Positions{gap, 1, 2, 3});
  CHECK(f.after(~std::uint64_t{0}) == Positions{gap, 1, 2, 3});
}

TEST_CASE("a cursor of another epoch, or one that no log made, is a gap", "[channel][WIRE-1]") {
  LogFixture f;
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
  LogFixture f({.history = {.max_messages = 3}});
  CHECK(f.from(f.log.start_earliest()).empty());
  f.publish_many(5);
  CHECK(f.from(f.log.start_earliest()) == Positions{3, 4, 5});
  CHECK(f.from(f.log.start_latest()).empty());
  f.publish();
  CHECK(f.log.start_latest().next == 7);
}

TEST_CASE("history=N starts N messages before the end or at the oldest retained, never with a gap",
          "[channel][WIRE-1]") {
  LogFixture f({.history = {.max_messages = 5}});
  CHECK(f.from(f.log.start_before_end(3)).empty());
  f.publish_many(10);
  CHECK(f.from(f.log.start_before_end(0)).empty());
  CHECK(f.from(f.log.start_before_end(1)) == Positions{10});
  CHECK(f.from(f.log.start_before_end(5)) == Positions{6, 7, 8, 9, 10});
  CHECK(f.from(f.log.start_before_end(6)) == Positions{6, 7, 8, 9, 10});
  CHECK(f.from(f.log.start_before_end(~std::uint64_t{0})) == Positions{6, 7, 8, 9, 10});
}

TEST_CASE("history=N counts retained messages alone", "[channel][WIRE-1]") {
  LogFixture f;
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
  LogFixture f({.history = {.max_messages = 1}, .max_lag = 100});
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
  LogFixture f({.history = {.max_messages = 1}, .max_lag = 10});
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
  LogFixture f({.history = {.max_messages = 1}, .max_lag_messages = 4});
  f.log.keep_tail(true);
  f.publish_many(4);
  CHECK(f.log.tail_first() == 1);
  f.publish_many(3);
  CHECK(f.live() == Positions{4, 5, 6, 7});
  CHECK(f.log.tail_first() == 4);
}

TEST_CASE("messages that were superseded or expired do not count as lag", "[channel][WIRE-1][WIRE-7]") {
  LogFixture f({.max_lag = 1000});
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

TEST_CASE("what is collected is bounded in records and bytes, and one record always comes", "[channel][DESIGN-3.5]") {
  LogFixture f;
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
  LogFixture f;
  f.publish_many(2);
  CHECK(f.seek({epoch, 3}));
  CHECK(f.publish() == MessageId{epoch, 3});
  CHECK(f.live() == Positions{1, 2, 3});
  CHECK(f.after(1) == Positions{2, 3});
}

TEST_CASE("an offset that is not past the newest is refused and changes nothing", "[channel][DESIGN-7]") {
  LogFixture f;
  f.publish_many(3);
  CHECK_FALSE(f.seek({epoch, 3}));
  CHECK_FALSE(f.seek({epoch, 1}));
  CHECK_FALSE(f.seek({epoch, 0}));
  CHECK_FALSE(f.seek({epoch + 1, 0}));
  CHECK(f.publish() == MessageId{epoch, 4});
  CHECK(f.live() == Positions{1, 2, 3, 4});
}

TEST_CASE("after a jump forward each standing cursor has a gap, and the ids go on from there", "[channel][DESIGN-7]") {
  LogFixture f;
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
  LogFixture f;
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
  LogFixture f;
  f.publish_many(3);
  REQUIRE(f.seek({epoch + 1, 500}));
  CHECK(f.publish() == MessageId{epoch + 1, 500});
  const Position head = f.log.head();
  CHECK(f.after(499, epoch + 1) == Positions{head});
  CHECK(f.after(498, epoch + 1) == Positions{gap, head});
  CHECK(f.after(0, epoch + 1) == Positions{gap, head});
  CHECK(f.after(~std::uint64_t{0}, epoch + 1) == Positions{gap, head});
}

TEST_CASE("however far the offsets jump, positions go on", "[channel][DESIGN-7]") {
  LogFixture f;
  constexpr auto end = ~std::uint64_t{0};
  f.publish();
  for (std::uint64_t i = 0; i < 3; ++i) {
    REQUIRE(f.seek({epoch + i, end - 2}));
    const Position before = f.log.head();
    CHECK(f.publish() == MessageId{epoch + i, end - 2});
    CHECK(f.publish() == MessageId{epoch + i, end - 1});
    CHECK(f.log.head() == before + 2);
    CHECK(f.log.head() < end / 2);
    CHECK(f.live() == Positions{before + 1, before + 2});
    CHECK(f.after(1, epoch + i) == Positions{gap, before + 1, before + 2});
    CHECK(f.after(end - 3, epoch + i) == Positions{before + 1, before + 2});
    CHECK(f.after(end - 2, epoch + i) == Positions{before + 2});
    CHECK(f.after(end - 1, epoch + i).empty());
    CHECK_FALSE(f.seek({epoch + i, end}));  // after which there is none
    CHECK_FALSE(f.seek({epoch + 9, end}));
  }
}

TEST_CASE("keys and times to live do not reach back over a jump", "[channel][DESIGN-7]") {
  LogFixture f;
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
  LogFixture f;
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
  LogFixture f({.history = {.max_messages = 100'000}});
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
