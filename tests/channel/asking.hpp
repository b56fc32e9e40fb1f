#pragma once

#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <downlink/channel/publisher.hpp>
#include <downlink/channel/subscription.hpp>

#include "support/catch.hpp"
#include "support/loop.hpp"

namespace downlink::testing {

using namespace std::chrono_literals;

struct Outcome {
  error_code error;
  Batch batch;

  std::vector<std::string> texts() const {
    std::vector<std::string> found;
    for (const auto& delivered : batch.messages) found.push_back(delivered.message().data);
    return found;
  }
};

using Texts = std::vector<std::string>;

inline void publish(const Channel& channel, std::string data) {
  if (!Publisher(channel).publish({.data = std::move(data)})) throw std::runtime_error("can't publish");
}

/// A loop that the test turns by hand, and what a subscription on it has been given.
struct Hand {
  /// Asks for what comes next, unless that was asked for already, and gives it when it is there.
  std::optional<Outcome> next(Subscription& subscription) {
    if (!asked) {
      asked = true;
      subscription.async_next([this](error_code error, Batch batch) { got = {error, std::move(batch)}; });
    }
    return look();
  }
  std::optional<Outcome> look() {
    context.restart();
    context.poll();
    if (got) asked = false;
    return std::exchange(got, {});
  }

  std::optional<Outcome> got;
  bool asked = false;
  net::io_context context;
};

/// Asks on a running loop.
inline std::future<Outcome> ask(Subscription& subscription) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  subscription.async_next([promise](error_code error, Batch batch) { promise->set_value({error, std::move(batch)}); });
  return future;
}

/// The same with a handler that wants to be called on an executor of its own.
template <class Executor>
std::future<Outcome> ask_from(const Executor& executor, Subscription& subscription) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  subscription.async_next(net::bind_executor(executor, [promise](error_code error, Batch batch) {
    promise->set_value({error, std::move(batch)});
  }));
  return future;
}

inline Outcome wait(std::future<Outcome> future) {
  if (future.wait_for(patience) != std::future_status::ready) throw std::runtime_error("nothing came");
  return future.get();
}

}  // namespace downlink::testing
