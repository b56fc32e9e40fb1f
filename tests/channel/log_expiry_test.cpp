#include <chrono>
#include <string>

#include "channel/log_fixture.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

TEST_CASE("a message that a newer one of its key supersedes is passed over, never a gap", "[channel][WIRE-1]") {
  LogFixture f;
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
  LogFixture f({.history = {.max_messages = 2}});
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
  LogFixture f({.history = {.max_messages = 2}});
  f.publish(1, "a");
  f.publish_many(2);
  f.publish(1, "a");
  CHECK(f.live() == Positions{3, 4});
  CHECK(f.log.deaths() == 0);
  f.publish(1, "a");
  CHECK(f.live() == Positions{3, 5});
}

TEST_CASE("the empty key is a key, and none is none", "[channel][DESIGN-4]") {
  LogFixture f;
  f.publish(1, "");
  f.publish();
  f.publish(1, "");
  f.publish();
  CHECK(f.live() == Positions{2, 3, 4});
}

TEST_CASE("a message past its time to live is passed over, never a gap", "[channel][WIRE-1]") {
  LogFixture f;
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
  LogFixture f;
  CHECK(f.publish(1, {}, 0ms).offset == 1);
  CHECK(f.publish(1, {}, -5ms).offset == 2);
  CHECK(f.publish(1, {}, milliseconds::min()).offset == 3);
  CHECK(f.live().empty());
  CHECK(f.after(0).empty());
  CHECK(f.log.history_messages() == 0);
}

TEST_CASE("the longest time to live and the longest age are as good as for ever", "[channel][DESIGN-3.8]") {
  LogFixture f({.history = {.max_age = milliseconds::max()}});
  f.publish(1, {}, milliseconds::max());
  f.publish();
  f.now += 24h * 365;
  f.expire();
  CHECK(f.live() == Positions{1, 2});
}

TEST_CASE("the expiry of a superseded message takes nothing else along", "[channel][WIRE-1]") {
  LogFixture f;
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
  LogFixture f;
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

TEST_CASE("what comes after many that died at once is found like any other", "[channel][WIRE-1]") {
  LogFixture f;
  f.publish();
  for (int i = 0; i < 100; ++i) f.publish(1, {}, 0ms);
  f.publish_many(2);
  CHECK(f.live() == Positions{1, 102, 103});
  CHECK(f.live(2) == Positions{102, 103});
  CHECK(f.after(102) == Positions{103});
  CHECK(f.runs(50, 103) == Runs{{102, 103}});
}

TEST_CASE("times to live cost no memory once their messages have gone", "[channel][DESIGN-3.5]") {
  LogFixture f({.history = {.max_messages = 10}});
  for (int i = 0; i < 1000; ++i) f.publish(1, {}, i % 3 == 0 ? milliseconds::max() : milliseconds(24h));
  CHECK(f.log.expiries() <= 100);
  f.now += 24h;
  f.expire();
  CHECK(f.live() == Positions{991, 994, 997, 1000});  // those that live for ever
}
