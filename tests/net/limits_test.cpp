#include <chrono>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::detail;
using namespace std::chrono_literals;

TEST_CASE("a rate lets a burst through and then what time brings", "[net][DESIGN-3.5]") {
  RateMeter meter;
  TimePoint now{1h};
  const auto take = [&] { return meter.take(now, 1, 10, 1s) == 0ns; };
  for (int i = 0; i < 10; ++i) CHECK(take());
  CHECK_FALSE(take());
  CHECK(meter.take(now, 1, 10, 1s) == 100ms);  // what was refused is not counted
  now += 100ms;
  CHECK(take());
  CHECK_FALSE(take());
  now += 1h;  // no more than a burst is saved up
  for (int i = 0; i < 10; ++i) CHECK(take());
  CHECK_FALSE(take());
}

TEST_CASE("what is larger than a burst is never let through", "[net][DESIGN-3.5]") {
  RateMeter meter;
  const TimePoint now{1h};
  CHECK(meter.take(now, 11, 10, 1s) == 100ms);
  CHECK(meter.take(now, ~std::size_t{0}, 1, 1s) > 1h);
  CHECK(meter.take(now, 10, 10, 1s) == 0ns);
}

TEST_CASE("an IPv4 address counts as itself, an IPv6 address by its /64, and a local socket not", "[net][DESIGN-3.5]") {
  CHECK(address_key("192.0.2.1") != address_key("192.0.2.2"));
  CHECK(address_key("192.0.2.1") == address_key("::ffff:192.0.2.1"));
  CHECK(address_key("2001:db8:0:1::1") == address_key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
  CHECK(address_key("2001:db8:0:1::1") != address_key("2001:db8:0:2::1"));
  CHECK(address_key("fe80::1%lo") == address_key("fe80::2"));
  CHECK(address_key("127.0.0.1") != address_key("::1"));
  CHECK(address_key("") == no_address);
}

TEST_CASE("what has no address is held to the overall limit alone", "[net][DESIGN-3.5]") {
  using enum Admission::Verdict;
  Admission admission(3, 1, 42);
  CHECK(admission.enter(7) == admitted);
  CHECK(admission.enter(7) == refused);
  CHECK(admission.enter(no_address) == admitted);
  CHECK(admission.enter(no_address) == admitted);
  CHECK(admission.enter(no_address) == refused);
  CHECK(admission.enter(8) == refused);
  admission.leave(no_address, admitted);
  CHECK(admission.enter(8) == admitted);
  admission.leave(7, refused);
  CHECK(admission.enter(7) == refused);
  admission.leave(7, admitted);
  CHECK(admission.enter(7) == admitted);
}

TEST_CASE("an address has as many places as its limit, whatever the order of leaving", "[net][DESIGN-3.5]") {
  using enum Admission::Verdict;
  Admission admission(0, 2, 42);
  for (AddressKey address = 1; address <= 1000; ++address) {
    CHECK(admission.enter(address) == admitted);
    CHECK(admission.enter(address) == admitted);
    CHECK(admission.enter(address) == refused);
    admission.leave(address, refused);
  }
  for (AddressKey address = 1000; address > 0; --address) {
    admission.leave(address, admitted);
    CHECK(admission.enter(address) == admitted);
    CHECK(admission.enter(address) == refused);
    admission.leave(address, refused);
    admission.leave(address, admitted);
    admission.leave(address, admitted);
    CHECK(admission.enter(address) == admitted);
  }
}
