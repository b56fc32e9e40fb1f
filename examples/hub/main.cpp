// The whole library in one program: channels over every transport, a live page, metrics. `hub --help` lists its
// options.

#include <csignal>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <asio/executor_work_guard.hpp>
#include <asio/signal_set.hpp>
#include <downlink/asio.hpp>

#include "hub/options.hpp"
#include "hub/service.hpp"

namespace {

namespace net = downlink::net;

constexpr int failure = 1;
constexpr int bad_options = 2;

// Serves until a signal has drained it.
void serve(const hub::Options& options) {
  std::deque<net::io_context> loops;
  downlink::Contexts contexts;
  for (std::size_t i = 0; i < options.threads; ++i) contexts.emplace_back(loops.emplace_back(1));
  const auto stop = [&loops] {
    for (auto& loop : loops) loop.stop();
  };

  hub::Service service(contexts, options);
  // From here on a signal finds its handler, also while the first line is on its way to whoever waits for it.
  net::signal_set signals(loops.front(), SIGINT, SIGTERM);
  signals.async_wait([&](downlink::error_code, int) {
    service.drain(stop);
    signals.async_wait([&](downlink::error_code, int) { stop(); });  // a second one does not wait
  });
  std::optional<net::signal_set> renewed;
  std::function<void()> await_renewal = [&] {
    renewed->async_wait([&](downlink::error_code error, int) {
      if (error) return;
      service.reload();
      await_renewal();
    });
  };
  if (options.tls_cert) {
    renewed.emplace(loops.front(), SIGHUP);
    await_renewal();
  }
  service.start();
  std::cout << "listening on " << service.url() << std::endl;

  std::vector<net::executor_work_guard<net::io_context::executor_type>> work;
  for (auto& loop : loops) work.emplace_back(loop.get_executor());
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < loops.size(); ++i) threads.emplace_back([&loop = loops[i]] { loop.run(); });
  loops.front().run();
}

}  // namespace

int main(int argc, char** argv) {
  hub::Options options;
  if (const auto code = hub::parse_options(argc, argv, options)) return *code;
  try {
    serve(options);
  } catch (const std::invalid_argument& error) {
    std::cerr << "hub: " << error.what() << '\n';
    return bad_options;
  } catch (const std::exception& error) {
    std::cerr << "hub: " << error.what() << '\n';
    return failure;
  }
}
