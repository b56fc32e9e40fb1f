#include <cstddef>
#include <optional>

#ifdef DOWNLINK_BOOST_ASIO
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#else
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#endif

#include "channel/asking.hpp"
#include "support/catch.hpp"

using namespace downlink;
using namespace downlink::testing;

TEST_CASE("a read that is cancelled completes, and loses no message", "[channel][DESIGN-4]") {
  const Channel channel;
  net::io_context context;
  Subscription subscription(context.get_executor(), channel);
  net::cancellation_signal signal;
  std::optional<error_code> ended;
  std::size_t messages = 0;
  const auto next = [&] {
    ended.reset();
    subscription.async_next(net::bind_cancellation_slot(signal.slot(), [&](error_code error, const Batch& batch) {
      ended = error;
      messages += batch.messages.size();
    }));
  };
  const auto run = [&] {
    context.restart();
    context.poll();
  };
  const error_code aborted = net::error::operation_aborted;

  next();
  SECTION("before it waits") {}
  SECTION("while it waits") { run(); }
  SECTION("after news that bring nothing") {
    publish(channel, "1");
    run();
    CHECK(messages == 1);
    next();
    run();
  }
  CHECK_FALSE(ended);
  signal.emit(net::cancellation_type::terminal);
  run();
  CHECK(ended == aborted);

  messages = 0;
  publish(channel, "2");
  next();
  signal.emit(net::cancellation_type::terminal);  // too late: there is something
  run();
  CHECK(ended == error_code());
  CHECK(messages == 1);
  next();
  run();
  CHECK_FALSE(ended);  // what was cancelled was the one before
  publish(channel, "3");
  run();
  CHECK(ended == error_code());
  CHECK(messages == 2);
}
