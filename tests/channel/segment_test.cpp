#include <downlink/channel/segment.hpp>

#include <memory>
#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace downlink::detail;

TEST_CASE("a segment counts as cached until its cache drops it, then as pinned until its last holder lets go",
          "[channel][DESIGN-3.5]") {
  const auto use = std::make_shared<EncodedUse>();
  auto cache = Segment::make(1, 0, 4096, 16, use);
  cache->count_cached();
  const auto size = cache->footprint();
  CHECK(use->cached == size);

  SegmentRef reader = cache;
  SegmentRef another = reader;
  cache->count_dropped();
  cache = {};
  CHECK(use->cached == 0);
  CHECK(use->pinned == size);
  reader = {};
  CHECK(use->pinned == size);
  another = {};
  CHECK(use->pinned == 0);
}

TEST_CASE("a copy of a message's rest takes no more than it and belongs to no cache", "[channel][DESIGN-3.5]") {
  const auto copy = Segment::copy(7, "the rest");
  CHECK(copy->is_copy());
  CHECK_FALSE(copy->belongs_to(*std::make_shared<EncodedUse>()));
  CHECK(std::string_view(copy->bytes(), copy->size()) == "the rest");
  CHECK(copy->footprint() < 128);
}
