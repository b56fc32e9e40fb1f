// downlink as the suite measures it: all four transports, an authorizer, and the publisher in the server's own loop.
// Prints its port and its control port, which understands `timer` and `stats` beside what control.hpp says.
//   downlink [SHARDS [CHANNELS]]
// The same with SUITE_IO_URING sends by it; `check` as the only argument is answered by whether that can be done.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <downlink/downlink.hpp>
#ifdef SUITE_IO_URING
#include <downlink/io_uring.hpp>
#endif

#include "../crowd.hpp"
#include "../figures.hpp"
#include "control.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Tcp = downlink::net::ip::tcp;

/// How late a timer of the application's own, set for a millisecond again and again, is called.
class Lateness {
 public:
  explicit Lateness(downlink::net::io_context& io) : timer_(io) {}
  void start() {
    const auto due = Clock::now() + 1ms;
    timer_.expires_at(due);
    timer_.async_wait([this, due](downlink::error_code) {
      late_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - due).count());
      if (running_) start();
    });
  }
  void run(bool running) {
    if (running && !running_) start();
    running_ = running;
  }
  /// The median and the 99th percentile in milliseconds; begins anew.
  std::string take() {
    const auto late = std::exchange(late_, {});
    return std::to_string(quantile(late, 0.5)) + ' ' + std::to_string(quantile(late, 0.99));
  }

 private:
  downlink::net::steady_timer timer_;
  bool running_ = false;
  std::vector<double> late_{};
};

class Control {
 public:
  Control(downlink::net::io_context& io, std::vector<downlink::Channel>& channels)
      : acceptor_(io, Tcp::endpoint(downlink::net::ip::address_v4::loopback(), 0)), lateness_(io) {
    for (auto& channel : channels) feeds_.push_back({downlink::Publisher(channel), 0});
    accept();
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  struct Feed {
    downlink::Publisher publisher;
    std::uint64_t head;
  };
  struct Connection {
    explicit Connection(Tcp::socket from) : socket(std::move(from)) {}
    Tcp::socket socket;
    std::string received{};
    char buffer[1024]{};
  };

  void accept() {
    acceptor_.async_accept([this](downlink::error_code error, Tcp::socket socket) {
      if (error) return;
      socket.set_option(Tcp::no_delay(true));
      read(std::make_shared<Connection>(std::move(socket)));
      accept();
    });
  }

  void read(const std::shared_ptr<Connection>& from) {
    from->socket.async_read_some(downlink::net::buffer(from->buffer),
                                 [this, from](downlink::error_code error, std::size_t size) {
                                   if (error) return;
                                   from->received.append(from->buffer, size);
                                   take_lines(from->received, [&](const std::string& line) { take(*from, line); });
                                   read(from);
                                 });
  }

  void take(Connection& from, const std::string& line) {
    if (const auto command = parse_command(line)) return publish(*command);
    if (line.starts_with("timer")) return lateness_.run(line == "timer on");
    if (line != "stats") return;
    const auto answer =
        std::to_string(publish_time_.count()) + ' ' + std::to_string(published_) + ' ' + lateness_.take() + '\n';
    publish_time_ = {};
    published_ = 0;
    from.socket.send(downlink::net::buffer(answer));
  }

  void publish(const Command& command) {
    for (std::uint64_t i = 0; i < command.count; ++i) {
      for (std::size_t c = 0; c < command.channels; ++c) {
        Feed& feed = feeds_.at(c);
        downlink::Message message{.data = payload(++feed.head, command.size)};
        const auto begin = Clock::now();
        if (!feed.publisher.publish(std::move(message))) std::cerr << "a message was not published\n";
        publish_time_ += Clock::now() - begin;
        ++published_;
      }
    }
  }

  Tcp::acceptor acceptor_;
  Lateness lateness_;
  std::vector<Feed> feeds_{};
  std::chrono::nanoseconds publish_time_{0};
  std::uint64_t published_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  using namespace downlink;
  raise_file_limit();
  const bool only_checks = argc == 2 && std::string_view(argv[1]) == "check";
  const int shards = only_checks ? 1 : argc > 1 ? std::atoi(argv[1]) : 1;
  const int channel_count = argc > 2 ? std::atoi(argv[2]) : 1;

  std::vector<std::unique_ptr<net::io_context>> loops;
  Contexts contexts;
  for (int i = 0; i < shards; ++i) contexts.push_back(*loops.emplace_back(std::make_unique<net::io_context>(1)));

  Server<WebSocket, Sse, LongPolling, ShortPolling> server{contexts, {.endpoint = {.one_thread = true}}};
  std::vector<Channel> channels;
  for (int i = 0; i < channel_count; ++i) {
    channels.emplace_back(ChannelOptions{.history = {.max_messages = 2000}});
    server.route("/c/" + std::to_string(i), channels.back());
  }
  server.authorize([](const RequestHead& request) {
    return request.header("Authorization") == authorization ? allow() : unauthorized();
  });
#ifdef SUITE_IO_URING
  if (const auto refused = enable_io_uring(server)) {
    std::cerr << "io_uring can't be used: " << refused.message() << '\n';
    return 1;
  }
#endif
  if (only_checks) return 0;
  server.start();
  Control control(*loops.front(), channels);
  std::cout << server.port() << ' ' << control.port() << std::endl;

  std::vector<std::jthread> threads;
  for (int i = 1; i < shards; ++i) {
    threads.emplace_back([&loop = *loops[static_cast<std::size_t>(i)]] {
      const auto work = net::make_work_guard(loop);
      loop.run();
    });
  }
  loops.front()->run();
}
