#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/poll_answer.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink::testing;

namespace {

Connection local_connection(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("can't connect to " + path);
  }
  return Connection::over(fd);
}

}  // namespace

#ifdef EXAMPLE_BEAST
TEST_CASE("Beast's requests and polls of the library's share a connection, pipelined too", "[examples][embedding]") {
  ExampleProgram beast("beast", {"0"});
  CHECK(post(beast.port(), "/prices", "42000").status == 202);
  Connection connection(beast.port());
  connection.send(request_text("GET", "/") + request_text("GET", "/prices?cursor=earliest") +
                  request_text("POST", "/anything", {}, "a body") + request_text("GET", "/prices?cursor=earliest"));
  for (int i = 0; i < 2; ++i) {
    CHECK(connection.read_response().body == "This page is Beast's.\n");
    CHECK(PollAnswer(connection.read_response()).data == std::vector<std::string>{"42000"});
  }
  WebSocketClient socket(beast.port(), "/prices");
  SseClient stream(beast.port(), "/prices");
  stream.open();
  socket.send_text("43000");
  CHECK(stream.next_event().data == "43000");
  CHECK(socket.next_message().payload == "43000");
}
#endif

TEST_CASE("a server without Asio hands connections over by their native handles", "[examples][embedding]") {
  ExampleProgram program("native_handle", {"0"});
  CHECK(get(program.port(), "/").body == "other\n");
  SseClient stream(program.port(), "/prices?cursor=earliest");
  stream.open();
  CHECK(stream.next_event().data == "42000");
  CHECK(PollAnswer(get(program.port(), "/prices?cursor=earliest")).data == std::vector<std::string>{"42000"});
}

TEST_CASE("one loop a thread: subscribers of all of them get the same", "[examples][embedding]") {
  ExampleProgram program("loop_per_thread", {"0"});
  std::vector<SseClient> streams;
  for (int i = 0; i < 8; ++i) streams.emplace_back(program.port(), "/prices").open();
  const auto first = streams.back().next_event().data;
  streams.pop_back();
  for (auto& stream : streams) {
    while (stream.next_event().data != first) {
    }
  }
}

TEST_CASE("a loop of several threads: numbers are looked at beside each other, and taken one by one",
          "[examples][embedding]") {
  ExampleProgram program("thread_pool", {"0"});
  SseClient stream(program.port(), "/numbers");
  stream.open();
  const std::vector<std::string> numbers{"999999999989", "27644437", "1", "4"};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    CHECK(post(program.port(), "/numbers", numbers[i]).body == "number " + std::to_string(i + 1));
  }
  std::set<std::string> answers;
  for (std::size_t i = 0; i < numbers.size(); ++i) answers.insert(stream.next_event().data);
  CHECK(answers ==
        std::set<std::string>{"999999999989 is prime", "27644437 is prime", "1 is not prime", "4 is not prime"});
  CHECK(post(program.port(), "/numbers", "1000000000001").status == 400);
}

TEST_CASE("callbacks, futures and coroutines each get their answers", "[examples][embedding]") {
  ExampleProgram program("completions", {"0"});
  const auto id = post(program.port(), "/echo", "by coroutine").body;
  CHECK(get(program.port(), "/echo?cursor=earliest").body.find(id) != std::string::npos);
  CHECK(request(program.port(), "DELETE", "/").status == 202);
  CHECK(program.exit_code() == 0);
  for (const std::string line : {"published ", "by callback\n", "by future\n", "by coroutine\n", "closed\n"}) {
    INFO(program.output());
    CHECK(program.output().find(line) != std::string::npos);
  }
}

TEST_CASE("a Unix domain socket serves every transport", "[examples][embedding]") {
  const auto path =
      (std::filesystem::temp_directory_path() / ("downlink-" + std::to_string(::getpid()) + ".sock")).string();
  ExampleProgram program("local_socket", {path});
  CHECK(program.first_line() == "listening on " + path);
  SseClient stream(local_connection(path), "/prices");
  stream.open();
  WebSocketClient socket(local_connection(path), "/prices", WebSocketClient::v1);
  socket.open();
  auto http = local_connection(path);
  http.send(request_text("POST", "/prices", {}, "42000"));
  CHECK(http.read_response().status == 202);
  CHECK(stream.next_event().data == "42000");
  CHECK(socket.next_v1().data == "42000");
  http.send(request_text("GET", "/prices?cursor=earliest"));
  CHECK(PollAnswer(http.read_response()).data == std::vector<std::string>{"42000"});
  std::filesystem::remove(path);
}

TEST_CASE("an application without exceptions publishes, and is told what is wrong", "[examples][embedding]") {
  ExampleProgram busy("no_exceptions", {"0"});
  SseClient stream(busy.port(), "/feed?cursor=earliest");
  stream.open();
  CHECK(stream.next_event().data == "42000");
  CHECK(stream.next_event().data == "42001");
  ExampleProgram second("no_exceptions", {std::to_string(busy.port())});
  CHECK(second.exit_code() == 1);
  CHECK(second.error_output().find("can't listen at 127.0.0.1:") == 0);

  ExampleProgram misused("no_exceptions", {"0", "feed"});
  CHECK(misused.exit_code() == 128 + SIGABRT);
  CHECK(misused.error_output().find("the route pattern 'feed' must begin with '/'") != std::string::npos);
}
