#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "channel/log_fixture.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace downlink;
using namespace downlink::testing;

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
  /// `mortal` is how many messages of a hundred have a time to live; where it is most, a short one.
  Comparison(unsigned seed, const ChannelOptions& options, bool keyed, unsigned mortal = 20)
      : seed_(seed), keyed_(keyed), mortal_(mortal), random_(seed), f_(options), model_(f_.options) {}

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
    if (below(100) < mortal_) ttl = milliseconds(mortal_ > 50 ? below(3) : below(100));
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
  const unsigned mortal_;
  std::mt19937 random_;
  std::uint64_t epochs_ = 0;
  LogFixture f_;
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
  // And ones that soon expire, the newest too.
  for (unsigned seed = 1; seed <= 6; ++seed) Comparison(seed, {.max_lag = 500}, false, 98).run(1200);
}
