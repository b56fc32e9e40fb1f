#include <downlink/session/timer_wheel.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using downlink::TimePoint;
using downlink::detail::Deadline;
using downlink::detail::List;
using downlink::detail::TimerWheel;
using std::chrono::milliseconds;

namespace {

const TimePoint start = TimePoint{} + 12345678us;

struct Mark final : Deadline {
  void expired() override { ++count; }
  int count = 0;
  TimePoint set_at{};
  milliseconds interval{};
};

/// A wheel and what has come due of it.
struct Wheel {
  TimerWheel wheel{start};
  TimePoint now = start;

  TimePoint set(Mark& mark, milliseconds interval) {
    mark.set_at = now;
    mark.interval = interval;
    return wheel.set(mark, now, interval);
  }

  /// Moves time on and gives what has come due, in order.
  std::vector<Mark*> at(TimePoint time) {
    now = time;
    List<Deadline> due;
    wheel.advance(now, due);
    std::vector<Mark*> marks;
    while (!due.empty()) {
      auto& mark = static_cast<Mark&>(due.front());
      static_cast<Deadline&>(mark).unlink();
      marks.push_back(&mark);
    }
    return marks;
  }

  /// As the loop does: sleeps until the wheel wants to be looked at, over and over, until `mark` has come due.
  std::optional<TimePoint> run_until(Mark& mark, int looks = 1000) {
    for (; looks > 0; --looks) {
      const TimePoint due = wheel.next_due();
      if (due == TimePoint::max()) return std::nullopt;
      for (Mark* expired : at(std::max(due, now))) {
        if (expired == &mark) return now;
      }
    }
    return std::nullopt;
  }
};

/// How late a deadline may be: an eighth of its interval, and never more than 1.024 s; then a tick.
TimePoint latest(const Mark& mark) { return mark.set_at + mark.interval + std::min(mark.interval / 8, 1024ms) + 1ms; }

bool in_time(const Mark& mark, TimePoint when) { return when >= mark.set_at + mark.interval && when <= latest(mark); }

milliseconds any_interval(std::mt19937& random) {
  // Every magnitude alike, up to 18 hours: four times as far as the wheels reach.
  return milliseconds(1 + (random() & ((1u << (random() % 27)) - 1)));
}

}  // namespace

TEST_CASE("an empty wheel never wants to be looked at", "[session][DESIGN-3.1]") {
  Wheel wheel;
  CHECK(wheel.wheel.next_due() == TimePoint::max());
  CHECK(wheel.at(start + 1h).empty());
  CHECK(wheel.wheel.next_due() == TimePoint::max());
}

TEST_CASE("a deadline falls due at the time that setting it told", "[session][DESIGN-3.6]") {
  for (const milliseconds interval : {0ms, 1ms, 2ms, 15ms, 16ms, 63ms, 64ms, 65ms, 1000ms, 4095ms, 4096ms, 30'000ms,
                                      262'143ms, 262'144ms, 3'600'000ms}) {
    CAPTURE(interval.count());
    Wheel wheel;
    Mark mark;
    const TimePoint told = wheel.set(mark, interval);
    CHECK(in_time(mark, std::max(told, start + 1ms)));
    CHECK(wheel.wheel.next_due() <= told);
    CHECK(wheel.at(told - 1ms).empty());
    CHECK(wheel.at(told) == std::vector<Mark*>{&mark});
    CHECK(wheel.wheel.next_due() == TimePoint::max());
  }
}

TEST_CASE("a deadline tells how long it has left", "[session][DESIGN-3.6]") {
  Wheel wheel;
  Mark mark;
  const TimePoint due = wheel.set(mark, 1s);
  CHECK(wheel.wheel.left(mark, start) == due - start);
  CHECK(wheel.wheel.left(mark, start + 400ms) == due - start - 400ms);
  CHECK(wheel.wheel.left(mark, due + 1h) == 0ms);
}

TEST_CASE("a deadline later than the clock can count is as good as for ever", "[session][DESIGN-3.6]") {
  Wheel wheel;
  Mark mark;
  for (const milliseconds interval :
       {milliseconds::max(), milliseconds::max() / 2, milliseconds(std::chrono::years{51})}) {
    const TimePoint due = wheel.set(mark, interval);
    CHECK(due >= start + std::chrono::years{50});
    CHECK(due <= start + std::chrono::years{50} + 2s);
    CHECK(wheel.wheel.left(mark, start) == due - start);
  }
}

TEST_CASE("random deadlines fall due never early and late by at most an eighth", "[session][DESIGN-3.6]") {
  std::mt19937 random(4);
  Wheel wheel;
  wheel.at(start + 77777ms);
  std::deque<Mark> marks(300);
  for (auto& mark : marks) wheel.set(mark, any_interval(random));
  for (int looks = 0; looks < 20'000; ++looks) {
    TimePoint earliest = TimePoint::max();
    for (const auto& mark : marks) earliest = std::min(earliest, latest(mark));
    const TimePoint due = wheel.wheel.next_due();
    if (due > earliest) FAIL("asleep past a deadline");
    if (due < wheel.now) FAIL("due in the past");
    for (Mark* mark : wheel.at(due)) {
      if (!in_time(*mark, wheel.now)) {
        FAIL("interval " << mark->interval.count() << " after " << (wheel.now - mark->set_at) / 1us << " us");
      }
      wheel.set(*mark, any_interval(random));
    }
  }
}

TEST_CASE("a deadline that is set between two ticks is not early either", "[session][DESIGN-3.6]") {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    Wheel wheel;
    Mark mark;
    wheel.at(start + std::chrono::microseconds(random() % 10'000'000));
    wheel.set(mark, milliseconds(1 + random() % 40));
    const auto fired = wheel.run_until(mark);
    REQUIRE(fired);
    if (*fired < mark.set_at + mark.interval) {
      FAIL("an interval of " << mark.interval.count() << " ms was over after " << (*fired - mark.set_at) / 1us
                             << " us");
    }
    if (*fired > latest(mark)) FAIL("late");
  }
}

TEST_CASE("many heartbeats of one interval fall due together", "[session][DESIGN-3.6]") {
  Wheel wheel;
  std::deque<Mark> marks(1000);
  for (auto& mark : marks) {
    wheel.at(wheel.now + 1ms);
    wheel.set(mark, 30'000ms);
  }
  std::size_t times = 0;
  std::size_t fired = 0;
  while (fired < marks.size()) {
    const auto due = wheel.at(wheel.wheel.next_due());
    fired += due.size();
    if (!due.empty()) ++times;
  }
  CHECK(times <= 2);
}

TEST_CASE("a deadline beyond the last wheel goes round again and comes in time", "[session][DESIGN-3.6]") {
  for (const milliseconds interval : {milliseconds(4h + 30min), milliseconds(5h), milliseconds(24h),
                                      milliseconds(24h * 30), milliseconds(24h * 365 * 50)}) {
    CAPTURE(interval.count());
    Wheel wheel;
    wheel.at(start + 999'999ms);
    Mark mark;
    wheel.set(mark, interval);
    const auto fired = wheel.run_until(mark, 500'000);
    REQUIRE(fired);
    CHECK(in_time(mark, *fired));
  }
}

TEST_CASE("setting a deadline again moves it", "[session][DESIGN-3.6]") {
  Wheel wheel;
  Mark mark;
  wheel.set(mark, 100ms);
  const TimePoint later = wheel.set(mark, 5000ms);
  CHECK(wheel.at(later - 1ms).empty());
  CHECK(wheel.at(later) == std::vector<Mark*>{&mark});

  wheel.set(mark, 100'000ms);
  const TimePoint sooner = wheel.set(mark, 10ms);
  CHECK(wheel.at(sooner) == std::vector<Mark*>{&mark});
  CHECK(wheel.wheel.next_due() == TimePoint::max());
}

TEST_CASE("a deadline that is unlinked or destroyed does not come", "[session][DESIGN-3.6]") {
  Wheel wheel;
  Mark kept, unlinked;
  {
    Mark destroyed;
    for (Mark* mark : {&unlinked, &kept, &destroyed}) wheel.set(*mark, 300ms);
    static_cast<Deadline&>(unlinked).unlink();
  }
  CHECK(wheel.at(start + 1s) == std::vector<Mark*>{&kept});
  CHECK(wheel.wheel.next_due() == TimePoint::max());
}

TEST_CASE("after a long time asleep all that is due comes at once, soonest first", "[session][DESIGN-3.6]") {
  std::mt19937 random(6);
  Wheel wheel;
  std::deque<Mark> marks(200);
  std::vector<std::pair<TimePoint, Mark*>> expected;
  for (auto& mark : marks) expected.emplace_back(wheel.set(mark, any_interval(random)), &mark);
  const auto due = wheel.at(start + 24h);
  REQUIRE(due.size() == marks.size());
  std::vector<TimePoint> told;
  for (Mark* mark : due) {
    told.push_back(std::find_if(expected.begin(), expected.end(), [&](auto& e) { return e.second == mark; })->first);
  }
  CHECK(std::is_sorted(told.begin(), told.end()));
}

TEST_CASE("deadlines that are set after a long sleep come in time", "[session][DESIGN-3.6]") {
  std::mt19937 random(7);
  for (const auto asleep : {milliseconds(1h), milliseconds(6h), milliseconds(24h * 400)}) {
    for (int i = 0; i < 200; ++i) {
      Wheel wheel;
      wheel.now = start + asleep + milliseconds(random() % 100'000);  // nobody looked at the wheel meanwhile
      Mark mark;
      wheel.set(mark, any_interval(random));
      const auto fired = wheel.run_until(mark, 100'000);
      REQUIRE(fired);
      if (!in_time(mark, *fired)) FAIL("interval " << mark.interval.count() << " asleep " << asleep.count());
    }
  }
}

TEST_CASE("a wheel that is looked at whenever it likes loses and delays nothing", "[session][DESIGN-3.6]") {
  std::mt19937 random(8);
  Wheel wheel;
  std::deque<Mark> marks(100);
  for (auto& mark : marks) wheel.set(mark, any_interval(random));
  for (int looks = 0; looks < 5000; ++looks) {
    const TimePoint before = wheel.now;
    const auto due = wheel.at(before + milliseconds(random() & ((1u << (random() % 20)) - 1)));
    for (Mark* mark : due) {
      if (wheel.now < mark->set_at + mark->interval) FAIL("early");
      if (latest(*mark) < before) FAIL("late");
      wheel.set(*mark, any_interval(random));
    }
    if (random() % 4 == 0) wheel.set(marks[random() % marks.size()], any_interval(random));
    if (random() % 16 == 0) static_cast<Deadline&>(marks[random() % marks.size()]).unlink();
    for (auto& mark : marks) {
      if (static_cast<Deadline&>(mark).linked()) {
        if (latest(mark) <= wheel.now) FAIL("lost");
      } else {
        wheel.set(mark, any_interval(random));
      }
    }
  }
}

TEST_CASE("a deadline that is over already when it is set comes at once", "[session][DESIGN-3.6]") {
  Wheel wheel;
  wheel.at(start + 100ms);
  Mark mark;
  wheel.wheel.set(mark, start + 10ms, 5ms);
  CHECK(wheel.wheel.next_due() <= start + 100ms);
  CHECK(wheel.at(start + 100ms) == std::vector<Mark*>{&mark});
}

TEST_CASE("a time before the wheel's start counts as its start", "[session][DESIGN-3.6]") {
  Wheel wheel;
  wheel.now = start - 10s;
  Mark mark;
  const TimePoint told = wheel.set(mark, 5ms);
  CHECK(told >= start);
  CHECK(told <= start + 6ms);
  CHECK(wheel.at(start - 1s).empty());
  CHECK(wheel.at(told) == std::vector<Mark*>{&mark});
}
