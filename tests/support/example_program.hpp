#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

extern char** environ;

namespace downlink::testing {

/// One of the examples as a process of its own, ended with this object.
class ExampleProgram {
 public:
  using Time = std::chrono::milliseconds;

  explicit ExampleProgram(const std::string& name, std::vector<std::string> arguments = {}) {
    int output[2];
    int errors[2];
    if (::pipe2(output, O_CLOEXEC) != 0 || ::pipe2(errors, O_CLOEXEC) != 0) fail(errno, "pipe2");
    output_ = output[0];
    errors_ = errors[0];

    const std::string path = directory() + "/" + name;
    std::vector<char*> argv = {const_cast<char*>(path.c_str())};
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
    const int error = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(output[1]);
    ::close(errors[1]);
    if (error != 0) {
      ::close(output_);
      ::close(errors_);
      fail(error, path.c_str());
    }
  }
  ExampleProgram(const ExampleProgram&) = delete;
  ExampleProgram& operator=(const ExampleProgram&) = delete;
  ~ExampleProgram() {
    if (!status_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(output_);
    ::close(errors_);
  }

  /// What the program writes to stdout first, up to the end of the line.
  const std::string& first_line() {
    const auto deadline = Clock::now() + patience;
    while (output_text_.find('\n') == std::string::npos) {
      if (!read(output_, output_text_, deadline)) {
        throw std::runtime_error("the program wrote no line: " + output_text_ + error_output());
      }
    }
    first_line_ = output_text_.substr(0, output_text_.find('\n'));
    return first_line_;
  }
  /// The port in `listening on http://ADDRESS:PORT…`, or `https`, which is the first line.
  std::uint16_t port() {
    const std::string& line = first_line();
    if (!line.starts_with("listening on http://") && !line.starts_with("listening on https://")) {
      throw std::runtime_error("an unexpected first line: " + line);
    }
    const auto end = std::min(line.find('/', line.find("://") + 3), line.size());
    return static_cast<std::uint16_t>(std::stoul(line.substr(line.rfind(':', end) + 1)));
  }

  pid_t process() const { return pid_; }
  void send_signal(int number) const {
    if (!status_) ::kill(pid_, number);
  }
  /// The exit code, once the program has ended by itself; 128 and the signal's number where a signal ended it.
  int exit_code(Time time = patience) {
    const auto deadline = Clock::now() + time;
    // The program holds these open for as long as it runs.
    while (read(output_, output_text_, deadline)) {
    }
    while (read(errors_, error_text_, deadline)) {
    }
    if (!status_) {
      int status = 0;
      if (::waitpid(pid_, &status, 0) != pid_) fail(errno, "waitpid");
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return *status_;
  }
  /// What came on stderr until the program ended.
  std::string error_output() {
    const auto deadline = Clock::now() + patience;
    while (read(errors_, error_text_, deadline)) {
    }
    return error_text_;
  }
  /// What came on stdout until `exit_code` was asked for.
  const std::string& output() const { return output_text_; }

  static constexpr Time patience = std::chrono::seconds{20};

 private:
  using Clock = std::chrono::steady_clock;

  static std::string directory() {
    if (const char* given = std::getenv("DOWNLINK_EXAMPLES_DIR")) return given;
#ifdef DOWNLINK_EXAMPLES_DIR
    return DOWNLINK_EXAMPLES_DIR;
#else
    throw std::runtime_error("DOWNLINK_EXAMPLES_DIR names the examples' directory");
#endif
  }

  [[noreturn]] static void fail(int error, const char* what) {
    throw std::system_error(error, std::generic_category(), what);
  }

  // False at the end of the program's output.
  static bool read(int from, std::string& text, Clock::time_point deadline) {
    pollfd waiting{from, POLLIN, 0};
    const auto left = std::chrono::duration_cast<Time>(deadline - Clock::now()).count();
    if (::poll(&waiting, 1, static_cast<int>(std::max<Time::rep>(left, 0))) <= 0) {
      throw std::runtime_error("the program neither wrote nor ended in time; it wrote: " + text);
    }
    char buffer[4096];
    const auto got = ::read(from, buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }

  pid_t pid_ = -1;
  int output_ = -1;
  int errors_ = -1;
  std::string output_text_;
  std::string error_text_;
  std::string first_line_;
  std::optional<int> status_;
};

}  // namespace downlink::testing
