#include <downlink/downlink.hpp>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"

using namespace downlink;

TEST_CASE("a port that is taken is told by a sentence or an error code, and may be tried again", "[net][DESIGN-3.10]") {
  net::io_context io;
  auto first = std::make_unique<Server<Sse>>(io);
  first->start();
  const auto port = first->port();
  Server<Sse> second(io, {.port = port});
  try {
    second.start();
    FAIL("both listen at the same port");
  } catch (const system_error& failure) {
    CHECK(failure.code() == net::error::address_in_use);
    CHECK(std::string(failure.what()).find("can't listen at 127.0.0.1:" + std::to_string(port)) == 0);
  }
  error_code error;
  second.start(error);
  CHECK(error == net::error::address_in_use);

  first.reset();
  while (io.poll() > 0) {
  }
  second.start(error);
  CHECK_FALSE(error);
  CHECK(second.port() == port);
}

TEST_CASE("what is wrong with a server's options throws, whichever way it is started", "[net][DESIGN-3.10]") {
  net::io_context io;
  error_code error;
  Server<Sse> elsewhere(io, {.address = "nowhere"});
  CHECK_THROWS_AS(elsewhere.start(), std::invalid_argument);
  CHECK_THROWS_AS(elsewhere.start(error), std::invalid_argument);
  Server<Sse> twice(io);
  twice.start();
  CHECK_THROWS_AS(twice.start(), std::logic_error);
  CHECK_THROWS_AS(twice.start(error), std::logic_error);
}
