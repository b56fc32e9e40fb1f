#include <downlink/random.hpp>

#include <cstdint>
#include <initializer_list>
#include <set>

#include "support/catch.hpp"

using namespace downlink::detail;

TEST_CASE("the operating system gives other bits each time") {
  std::set<std::uint64_t> drawn;
  std::uint64_t ever_set = 0, ever_clear = 0;
  for (int i = 0; i < 64; ++i) {
    const std::uint64_t bits = random_bits();
    drawn.insert(bits);
    ever_set |= bits;
    ever_clear |= ~bits;
  }
  CHECK(drawn.size() == 64);
  CHECK(ever_set == ~std::uint64_t{0});
  CHECK(ever_clear == ~std::uint64_t{0});
}

TEST_CASE("what is made of a state is SplitMix64, as its reference implementation gives it") {
  std::uint64_t state = 1234567;
  for (const std::uint64_t expected : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                       4593380528125082431U, 16408922859458223821U}) {
    CHECK(random_at(state += random_step) == expected);
  }
}
