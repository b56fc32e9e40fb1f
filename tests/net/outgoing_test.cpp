#include <string>

#include <downlink/net/outgoing.hpp>

#include "support/catch.hpp"

using downlink::detail::Outgoing;

TEST_CASE("a connection that is kept alive keeps no memory of a large answer", "[net][DESIGN-3.5]") {
  Outgoing outgoing;
  outgoing.before.assign(100'000, 'h');
  outgoing.after.assign(1'000'000, 'b');
  outgoing.clear();
  CHECK(outgoing.size() == 0);
  CHECK(outgoing.before.capacity() <= Outgoing::most_kept);
  CHECK(outgoing.after.capacity() <= Outgoing::most_kept);

  // What is small is used again.
  outgoing.before.reserve(512);
  const char* const kept = outgoing.before.data();
  outgoing.clear();
  CHECK(outgoing.before.data() == kept);
}
