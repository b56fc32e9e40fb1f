#include <downlink/channel/segment.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/catch.hpp"

using namespace downlink::detail;

TEST_CASE("a segment counts as cached until its cache drops it, then as pinned until its last holder lets go",
          "[channel][DESIGN-3.5]") {
  const auto use = std::make_shared<EncodedUse>();
  auto cache = Segment::make(1, 0, 4096, 16, use);
  cache->count_cached();
  const auto size = cache->footprint();
  CHECK(use->cached == size);
  CHECK_FALSE(cache->is_pinned(*use));

  SegmentRef reader = cache;
  SegmentRef another = reader;
  cache->count_dropped();
  cache = {};
  CHECK(use->cached == 0);
  CHECK(use->pinned == size);
  CHECK(reader->is_pinned(*use));
  reader = {};
  CHECK(use->pinned == size);
  another = {};
  CHECK(use->pinned == 0);
}

TEST_CASE("a copy of a message's rest takes no more than it and belongs to no cache", "[channel][DESIGN-3.5]") {
  const auto copy = Segment::copy(7, "the rest");
  CHECK_FALSE(copy->is_pinned(*std::make_shared<EncodedUse>()));
  CHECK(std::string_view(copy->bytes(), copy->size()) == "the rest");
  CHECK(copy->footprint() < 128);
}

TEST_CASE("a segment finds its messages however far apart they are", "[channel][DESIGN-1]") {
  const Position first = 1000;
  const std::uint32_t slots = 200;
  const Position furthest = GENERATE(0, 1, 100, 10'000'000);  // between two messages
  const int empty_ones = GENERATE(0, 10);                     // in a hundred
  CAPTURE(furthest, empty_ones);
  std::mt19937 random(1);
  const auto segment = Segment::make(first, 0, 4096, slots);
  std::map<Position, std::string> messages;
  Position position = first;
  std::string text;
  for (;;) {
    const std::string encoding(static_cast<int>(random() % 100) < empty_ones ? 0 : 1 + random() % 30, 'x');
    if (!segment->append(position, encoding)) break;
    if (!encoding.empty()) messages[position] = encoding;
    text += encoding;
    CHECK(segment->end() == position + 1);
    position += 1 + (messages.size() > 20 && furthest > 0 ? random() % furthest : 0);
  }
  CHECK(messages.size() >= slots / 2);
  CHECK(std::string_view(segment->bytes(), segment->size()) == text);

  std::uint32_t byte = 0;
  Position count = 0;
  for (const auto& [at, encoding] : messages) {
    const auto end = byte + static_cast<std::uint32_t>(encoding.size());
    CHECK(std::pair(segment->begin_of(at), segment->end_of(at)) == std::pair(byte, end));
    CHECK(segment->at_byte(byte, first, segment->end()) == at);
    CHECK(segment->at_byte(end - 1, at, at + 1) == at);
    CHECK(segment->messages(first, at) == count++);
    CHECK(segment->messages(first, at + 1) == count);
    CHECK(segment->last_message(at + 1) == at);
    CHECK(segment->begin_of(at + 1) == end);
    byte = end;
  }
  CHECK(segment->last_message(segment->end()) == messages.rbegin()->first);
}

TEST_CASE("what a segment has is found while more is appended", "[channel][threads][DESIGN-3.2]") {
  constexpr std::uint32_t count = 3000;
  const auto place = [](std::uint32_t message) { return Position{1} + message + (message > 1000 ? 7 * message : 0); };
  const auto segment = Segment::make(1, 0, count, 2 * count);
  std::atomic<std::uint32_t> appended{0};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    for (std::uint32_t known = 0; known < count;) {
      known = appended.load();
      for (std::uint32_t message = known / 2; message < known; message += 1 + known / 50) {
        if (segment->begin_of(place(message)) != message) ++wrong;
        if (segment->at_byte(message, 1, place(known - 1) + 1) != place(message)) ++wrong;
      }
    }
  });
  for (std::uint32_t message = 0; message < count; ++message) {
    if (!segment->append(place(message), "x")) ++wrong;
    appended.store(message + 1);
  }
  reader.join();
  CHECK(wrong == 0);
}
