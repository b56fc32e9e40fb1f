// What a server of 10,000 subscribers costs: memory of an idle one, publishing from another thread, and how late the
// application's own timers get while everybody is being sent to. Prints one line for each figure; see README.md here.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <downlink/downlink.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "crowd.hpp"
#include "figures.hpp"
#include "fixture.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

void idle_memory(bool websocket, std::uint32_t count) {
  Crowd crowd;
  Fixture fixture;
  const std::string& request = websocket ? websocket_request : sse_request;
  crowd.connect(fixture.server.port(), 100, request);
  fixture.run_until(100);
  const double before = rss_bytes();
  crowd.connect(fixture.server.port(), count, request);
  fixture.run_until(100 + count);
  std::cout << "memory of an idle subscriber, " << (websocket ? "WebSocket" : "SSE") << ", " << count << ": "
            << (rss_bytes() - before) / count << " bytes\n";
}

/// The median time of one publish from a thread of its own, in microseconds.
double publish_time(downlink::Channel& channel, std::chrono::microseconds pause, int count) {
  const downlink::Publisher publisher(channel);
  std::vector<double> times;
  std::thread thread([&] {
    for (int i = 0; i < count; ++i) {
      downlink::Message message{.data = std::string(128, 'x')};
      const auto begin = Clock::now();
      publisher.publish(std::move(message));
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
    }
  });
  thread.join();
  return quantile(times, 0.5);
}

void publish_cost(std::uint32_t many) {
  // All three stand at once and are measured in turns, so that the machine's mood is the same for each.
  Crowd crowd;
  struct Case {
    explicit Case(std::uint32_t count) : subscribers(count) {}
    std::uint32_t subscribers;
    Fixture fixture{};
    std::vector<double> back_to_back{};
    std::vector<double> spaced{};
  };
  std::vector<std::unique_ptr<Case>> cases;
  for (const std::uint32_t count : {0U, 1U, many}) {
    cases.push_back(std::make_unique<Case>(count));
    auto& fixture = cases.back()->fixture;
    if (count > 0) crowd.connect(fixture.server.port(), count, sse_request);
    fixture.run_until(count);
  }
  for (int round = 0; round < 5; ++round) {
    for (auto& one : cases) {
      auto& io = one->fixture.io;
      auto work = downlink::net::make_work_guard(io);
      std::thread loop([&io] { io.run(); });
      one->back_to_back.push_back(publish_time(one->fixture.channel, 0us, 2000));
      one->spaced.push_back(publish_time(one->fixture.channel, 1ms, 300));
      work.reset();
      io.stop();
      loop.join();
      io.restart();
      io.run_for(300ms);
    }
  }
  for (const auto& one : cases) {
    std::cout << "publish from another thread, " << one->subscribers << " subscribers: back to back "
              << quantile(one->back_to_back, 0.5) << " us, spaced by 1 ms " << quantile(one->spaced, 0.5) << " us\n";
  }
  std::cout << "publish to many against one: back to back "
            << quantile(cases[2]->back_to_back, 0.5) / quantile(cases[1]->back_to_back, 0.5) << ", spaced "
            << quantile(cases[2]->spaced, 0.5) / quantile(cases[1]->spaced, 0.5) << "\n";
}

void timer_lateness(std::uint32_t count) {
  Crowd crowd;
  Fixture fixture;
  crowd.connect(fixture.server.port(), count, sse_request);
  fixture.run_until(count);
  auto& io = fixture.io;
  downlink::net::steady_timer timer(io);
  std::vector<double> late;
  const downlink::Publisher publisher(fixture.channel);
  const auto end = Clock::now() + 5s;
  auto due = Clock::now();
  std::function<void()> tick = [&] {
    due = Clock::now() + 1ms;
    timer.expires_at(due);
    timer.async_wait([&](downlink::error_code) {
      late.push_back(std::chrono::duration<double, std::milli>(Clock::now() - due).count());
      // A message at every tick keeps the fan-out busy without a pause: one round takes longer than a tick.
      publisher.publish({.data = std::string(128, 'x')});
      if (Clock::now() < end) tick();
    });
  };
  tick();
  while (Clock::now() < end) io.run_one_for(100ms);
  std::cout << "a 1 ms timer during fan-out to " << count << ", " << late.size() << " ticks: late by "
            << quantile(late, 0.5) << " ms at the median, " << quantile(late, 0.99) << " ms at p99\n";
}

}  // namespace

int main(int argc, char** argv) {
  const auto count = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 10'000);
  raise_file_limit();
  apart([&] { idle_memory(true, count); });
  apart([&] { idle_memory(false, count); });
  apart([&] { timer_lateness(count); });
  apart([&] { publish_cost(count); });
}
