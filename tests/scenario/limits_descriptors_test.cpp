#if defined(__linux__)

#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"
#include "support/limits.hpp"
#include "support/loop.hpp"

using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// The hub in a process of its own, whose limit of open files this one sets.
class HubOutOfFiles : public ExampleProgram {
 public:
  explicit HubOutOfFiles(std::vector<std::string> arguments) : ExampleProgram("hub", with_port(std::move(arguments))) {}

  std::size_t open_files() const {
    std::size_t count = 0;
    const auto directory = std::filesystem::directory_iterator("/proc/" + std::to_string(process()) + "/fd");
    for (const auto& entry : directory) count += entry.is_symlink();
    return count;
  }
  void limit_files(std::size_t count) const {
    rlimit now{};
    REQUIRE(::prlimit(process(), RLIMIT_NOFILE, nullptr, &now) == 0);
    const rlimit wanted{count, now.rlim_max};
    REQUIRE(::prlimit(process(), RLIMIT_NOFILE, &wanted, nullptr) == 0);
  }
  std::chrono::nanoseconds cpu_time() const {
    clockid_t clock{};
    timespec time{};
    REQUIRE(::clock_getcpuclockid(process(), &clock) == 0);
    REQUIRE(::clock_gettime(clock, &time) == 0);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }

 private:
  static std::vector<std::string> with_port(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--port", "0"});
    return arguments;
  }
};

// Publishes over a connection that is there already.
void publish(Connection& publisher, const std::string& text) {
  publisher.send(request_text("POST", "/channels/c", {}, text));
  REQUIRE(publisher.read_response().status == 202);
}

}  // namespace

TEST_CASE("out of descriptors accepting pauses without spinning, subscribers notice nothing, and it resumes",
          "[scenario][DESIGN-3.5]") {
  HubOutOfFiles hub({"--threads", GENERATE("1", "2")});
  std::vector<Connection> subscribers;
  for (const auto headers : {asks_for_sse, asks_for_websocket}) {
    subscribers.emplace_back(hub.port());
    subscribers.back().send(request_text("GET", "/channels/c", headers));
    const int status = subscribers.back().read_head().status;
    REQUIRE((status == 200 || status == 101));
  }
  Connection publisher(hub.port());
  publish(publisher, "before");

  // Room for two more, and then for none.
  const std::size_t files = hub.open_files() + 2;
  hub.limit_files(files);
  std::vector<Connection> crowd;
  for (int i = 0; i < 8; ++i) {
    crowd.emplace_back(hub.port());
    crowd.back().send(request_text("GET", "/healthz"));
  }
  REQUIRE(eventually([&] { return hub.open_files() >= files; }));

  const auto begin = std::chrono::steady_clock::now();
  const auto cpu = hub.cpu_time();
  int count = 0;
  for (; std::chrono::steady_clock::now() - begin < 1s; ++count) {
    const std::string text = "message " + std::to_string(count) + ".";
    publish(publisher, text);
    for (auto& subscriber : subscribers) CHECK_FALSE(subscriber.read_until(text).empty());
    crowd.back().wait_for_end(10ms);
  }
  const auto used = hub.cpu_time() - cpu;
  CHECK(count > 5);
  CHECK(used < (std::chrono::steady_clock::now() - begin) / 2);
  CHECK(crowd.back().unread().empty());

  SECTION("when somebody leaves") {
    for (auto& connection : crowd) {
      CHECK(connection.read_response().status == 200);
      connection.close();
    }
  }
  SECTION("when the limit is raised") {
    hub.limit_files(files + 20);
    for (auto& connection : crowd) CHECK(connection.read_response().status == 200);
  }
  publish(publisher, "after");
  for (auto& subscriber : subscribers) CHECK_FALSE(subscriber.read_until("after").empty());
}

#endif
