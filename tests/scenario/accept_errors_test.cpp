#if defined(__linux__)

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/next_function.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// Stands between this program and the system: the error with which accepting fails, and how often it was tried.
std::atomic<int> accept_error{0};
std::atomic<int> accepts_failed{0};

template <class Function, class... Arguments>
int accept_unless_forbidden(const char* name, Function*, Arguments... arguments) {
  if (const int error = accept_error) {
    ++accepts_failed;
    errno = error;
    return -1;
  }
  return next_function<Function>(name)(arguments...);
}

}  // namespace

extern "C" {

int accept(int socket, sockaddr* address, socklen_t* size) {
  return accept_unless_forbidden("accept", &accept, socket, address, size);
}
int accept4(int socket, sockaddr* address, socklen_t* size, int flags) {
  return accept_unless_forbidden("accept4", &accept4, socket, address, size, flags);
}

}  // extern "C"

TEST_CASE("where the system is out of files or memory, accepting pauses without spinning, and resumes",
          "[scenario][DESIGN-3.5]") {
  const int error = GENERATE(ENFILE, ENOMEM, ENOBUFS);
  std::mutex mutex;
  std::vector<error_code> told;
  Served<Sse, ShortPolling> served;
  served.server.on_log([&](const LogEntry& entry) {
    const std::lock_guard guard(mutex);
    if (entry.event == LogEvent::accept_failed) told.push_back(entry.error);
  });
  served.start();
  SseClient subscriber(served.port(), "/c");
  subscriber.open();

  accepts_failed = 0;
  accept_error = error;
  Connection waiting(served.port());
  waiting.send(request_text("GET", "/c"));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; std::chrono::steady_clock::now() - begin < 500ms; ++i) {
    served.publish(std::to_string(i));
    CHECK(subscriber.next_event().data == std::to_string(i));
    waiting.wait_for_end(10ms);
  }
  CHECK(eventually([] { return accepts_failed >= 2; }));
  CHECK(50ms * accepts_failed.load() < std::chrono::steady_clock::now() - begin + 500ms);  // one in a tenth of a second
  CHECK(waiting.unread().empty());

  accept_error = 0;
  CHECK(waiting.read_response().status == 200);
  served.publish("after");
  CHECK(subscriber.next_event().data == "after");
  CHECK(served.server.stats().accept_errors == static_cast<std::uint64_t>(accepts_failed));
  const std::lock_guard guard(mutex);
  CHECK(told == std::vector<error_code>(told.size(), error_code(error, net::error::get_system_category())));
  CHECK(told.size() == static_cast<std::size_t>(accepts_failed));
}

#endif
