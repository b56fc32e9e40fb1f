// The suite's client: subscribers of one server over one transport. It takes commands from stdin, one a line, and
// answers each with a line of JSON. Whatever a subscriber gets is checked; the first thing that is wrong ends it.
// clang-format off
//   connect COUNT                         COUNT subscribers more, 128 at a time
//   close COUNT                           the newest of them leave
//   burst COUNT WINDOW SIZE               the server publishes COUNT messages, WINDOW (0: all) before everybody has them
//   paced COUNT MILLISECONDS SIZE         a message every so often
//   publish COUNT SIZE                    the server publishes, and nobody is waited for
//   polls COUNT BEHIND                    each short-polling client asks COUNT times for the BEHIND newest messages
//   storm COUNT BEHIND                    COUNT subscribers more, which resume BEHIND messages back (SSE)
//   control LINE                          a line of the server's own, and its answer
// clang-format on

#include <sys/epoll.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "client.hpp"
#include "target.hpp"

namespace {

using Json = nlohmann::json;

double quantile(std::vector<std::uint32_t>& sorted, double q) {
  return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))] / 10.0;
}

class Load {
 public:
  Load(Plan plan, Target target) : plan_(std::move(plan)), target_(std::move(target)) {
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  }

  /// Serves commands until stdin ends. In between, pings are answered and polls asked again.
  void run() {
    std::string received;
    while (true) {
      turn(-1);
      if (!std::exchange(command_waits_, false)) continue;
      char buffer[4096];
      const ssize_t size = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (size <= 0) return;
      received.append(buffer, static_cast<std::size_t>(size));
      take_lines(received, [&](const std::string& line) { std::cout << command(line).dump() << std::endl; });
    }
  }

 private:
  Json command(const std::string& line) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t a = 0, b = 0, c = 0;
    words >> name >> a >> b >> c;
    if (name == "control") {
      target_.write(line.substr(8) + '\n');
      return {{"answer", line.substr(8) == "stats" ? target_.read_line() : ""}};
    }
    begin();
    if (name == "connect") connect(a);
    if (name == "close") clients_.resize(clients_.size() - std::min<std::size_t>(a, clients_.size()));
    if (name == "burst") burst(a, b == 0 ? a : b, c, b == 0);
    if (name == "paced") paced(a, b, c);
    if (name == "publish") {
      plan_.size = b;
      publish(a);
    }
    if (name == "polls") polls(a, b);
    if (name == "storm") storm(a, b);
    return end();
  }

  void begin() {
    received_ = deliveries_ = 0;
    latencies_.clear();
    began_ = target_.usage();
    began_ns_ = now_ns();
  }

  Json end() {
    const std::int64_t wall = now_ns() - began_ns_;
    const Usage used = target_.settled_usage() - began_;
    std::sort(latencies_.begin(), latencies_.end());
    return {{"clients", clients_.size()},
            {"deliveries", deliveries_},
            {"bytes", received_},
            {"cpu_ns", used.cpu_ns},
            {"user_ticks", used.user_ticks},
            {"system_ticks", used.system_ticks},
            {"wall_ns", wall},
            {"p50_us", quantile(latencies_, .5)},
            {"p99_us", quantile(latencies_, .99)},
            {"max_us", quantile(latencies_, 1)}};
  }

  /// Takes what has come, waiting for it for so long.
  void turn(int milliseconds) {
    const int count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), milliseconds);
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<Client*>(events_[static_cast<std::size_t>(i)].data.ptr);
      if (client == nullptr) {
        command_waits_ = true;
        continue;
      }
      const std::uint64_t came = client->read(buffer_.data(), buffer_.size(), received_);
      if (came == 0) continue;
      deliveries_ += came;
      if (plan_.transport != Transport::short_polling) count_latency(client->next() - came, came);
      if (on_delivery_) on_delivery_(*client);
    }
  }

  /// For messages from this number on that have come now. Those from before this load have no time.
  void count_latency(std::uint64_t first, std::uint64_t count) {
    const std::int64_t now = now_ns();
    for (std::uint64_t i = first - 1; i < first - 1 + count && i < published_ns_.size(); ++i) {
      latencies_.push_back(static_cast<std::uint32_t>((now - published_ns_[i]) / 100));
    }
  }

  template <class Condition>
  void wait_for(const char* what, Condition&& condition) {
    const std::int64_t deadline = now_ns() + std::int64_t{120} * 1'000'000'000;
    while (!condition()) {
      turn(100);
      target_.drop_answers();
      if (now_ns() > deadline) throw std::runtime_error(std::string("waited in vain for ") + what);
    }
  }

  void add(std::uint64_t next, const std::string& cursor = {}) {
    Client& client = *clients_.emplace_back(std::make_unique<Client>(plan_, clients_.size(), next, cursor));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &client;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd(), &event);
  }

  void connect(std::uint64_t count) {
    const std::size_t all = clients_.size() + count;
    while (clients_.size() < all) {
      const std::size_t begin = clients_.size();
      for (std::size_t i = begin; i < std::min(begin + 128, all); ++i) add(head_ + 1);
      wait_for("openings", [&] {
        return std::all_of(clients_.begin() + static_cast<std::ptrdiff_t>(begin), clients_.end(),
                           [](auto& client) { return client->opened(); });
      });
    }
  }

  void publish(std::uint64_t count) {
    published_ns_.resize(head_ + count, now_ns());
    target_.publish(head_ + 1, count, plan_.size, plan_.channels);
    head_ += count;
  }

  void burst(std::uint64_t count, std::uint64_t window, std::size_t size, bool unbounded) {
    plan_.size = size;
    for (std::uint64_t done = 0; done < count; done += window) {
      const std::uint64_t expected = deliveries_ + window * clients_.size();
      if (unbounded) {
        for (std::uint64_t i = 0; i < window; i += 16) publish(std::min<std::uint64_t>(16, window - i));
      } else {
        publish(window);
      }
      wait_for("deliveries", [&] { return deliveries_ >= expected; });
    }
    for (const auto& client : clients_) {
      if (client->next() != head_ + 1) throw std::runtime_error("a client has not got all messages");
    }
  }

  void paced(std::uint64_t count, std::uint64_t milliseconds, std::size_t size) {
    plan_.size = size;
    std::int64_t due = now_ns();
    for (std::uint64_t i = 0; i < count; ++i) {
      publish(1);
      due += static_cast<std::int64_t>(milliseconds) * 1'000'000;
      while (now_ns() < due) turn(1);
    }
    wait_for("deliveries", [&] { return deliveries_ >= count * clients_.size(); });
  }

  /// The id of the message `behind` before the last: ids end in the message's number.
  static std::string cursor_before(const std::string& cursor, std::uint64_t behind) {
    const auto dash = cursor.rfind('-') + 1;
    return cursor.substr(0, dash) + std::to_string(std::stoull(cursor.substr(dash)) - behind);
  }

  void polls(std::uint64_t count, std::uint64_t behind) {
    // Every client has stood at the end since it came; what was published since is in `head_`.
    const std::uint64_t first = head_ - behind + 1;
    const std::string& at = clients_.front()->cursor();
    const auto dash = at.rfind('-') + 1;
    const std::string cursor = at.substr(0, dash) + std::to_string(first - 1);
    std::map<Client*, std::uint64_t> left;
    std::uint64_t open = clients_.size() * count;
    on_delivery_ = [&](Client& client) {
      if (client.next() != head_ + 1) throw std::runtime_error("a poll did not bring what it should");
      --open;
      if (--left[&client] > 0) client.poll(cursor, first);
    };
    for (auto& client : clients_) {
      left[client.get()] = count;
      client->poll(cursor, first);
    }
    wait_for("answers", [&] { return open == 0; });
    on_delivery_ = nullptr;
  }

  void storm(std::uint64_t count, std::uint64_t behind) {
    // An id for the cursor comes from a polling client of the same server.
    Plan polling = plan_;
    polling.transport = Transport::short_polling;
    Client scout(polling, 0, head_ + 1);
    while (!scout.opened()) scout.read(buffer_.data(), buffer_.size(), received_);
    const std::string cursor = cursor_before(scout.cursor(), behind);
    received_ = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      add(head_ - behind + 1, cursor);
      if (i % 128 == 127) turn(0);
    }
    wait_for("what was missed", [&] { return deliveries_ >= count * behind; });
  }

  Plan plan_;
  Target target_;
  const int epoll_ = ::epoll_create1(0);
  std::vector<std::unique_ptr<Client>> clients_{};
  std::vector<epoll_event> events_ = std::vector<epoll_event>(256);
  std::vector<char> buffer_ = std::vector<char>(std::size_t{1} << 18);
  std::function<void(Client&)> on_delivery_{};
  bool command_waits_ = false;

  std::uint64_t head_ = 0;                    // the last number published to every channel
  std::vector<std::int64_t> published_ns_{};  // when each was
  std::uint64_t received_ = 0, deliveries_ = 0;
  std::vector<std::uint32_t> latencies_{};  // in tenths of a microsecond
  Usage began_{};
  std::int64_t began_ns_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Plan plan;
  std::vector<pid_t> pids;
  std::uint16_t control = 0;
  CLI::App app("The suite's client.");
  const std::map<std::string, Transport> transports{{"websocket", Transport::websocket},
                                                    {"sse", Transport::sse},
                                                    {"long", Transport::long_polling},
                                                    {"short", Transport::short_polling}};
  app.add_option("--transport", plan.transport)->transform(CLI::Transformer(transports))->required();
  app.add_option("--port", plan.port)->required();
  app.add_option("--control", control, "The server's control port")->required();
  app.add_option("--pid", pids, "The server's processes")->required();
  app.add_option("--channels", plan.channels, "Channels that the clients are spread over");
  app.add_option("--path", plan.path, "What stands before the channel's number");
  app.add_flag("--nchan", plan.nchan, "Publish and poll in nchan's way");
  CLI11_PARSE(app, argc, argv);

  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  try {
    const bool nchan = plan.nchan;
    Load(std::move(plan), Target(std::move(pids), control, nchan)).run();
  } catch (const std::exception& error) {
    std::cout << Json{{"error", error.what()}}.dump() << std::endl;
    return 1;
  }
}
