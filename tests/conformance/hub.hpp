#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/http_client.hpp"

namespace downlink::testing {

/// The hub example, and requests to it that are judged as strictly as they can be. Whatever is executed is a POST to
/// the channel `c`, which shows it.
class Hub {
 public:
  explicit Hub(std::vector<std::string> arguments = {}) : program_("hub", with_port(std::move(arguments))) {}

  ExampleProgram& program() { return program_; }
  std::uint16_t port() { return program_.port(); }
  Connection connect() { return Connection(port(), std::chrono::seconds{20}); }

  /// What has been published so far, in order.
  std::vector<std::string> published() {
    std::vector<std::string> all;
    const auto answer = nlohmann::json::parse(get(port(), "/channels/c?cursor=earliest").body);
    for (const auto& message : answer.at("messages")) {
      all.push_back(message.at("data"));
    }
    return all;
  }

  /// The request is refused with this status and the connection closed in order; neither it nor what is behind it on
  /// the connection, in the same packet or later, is executed.
  Response refuses(const std::string& raw, int status) {
    CAPTURE(raw.substr(0, 300), raw.size());
    const auto before = published();
    auto client = connect();
    client.send(raw + behind());
    const auto answer = client.read_response();
    check_problem(answer, status);
    CHECK(answer.lists("Connection", "close"));
    client.try_send(behind());
    CHECK(client.read_to_end().empty());
    CHECK(client.wait_for_end(std::chrono::seconds{20}) == Connection::End::closed);
    CHECK(published() == before);
    return answer;
  }

  /// The request is taken, and so is the next one behind it: both sides agree on where it ended.
  Response takes(const std::string& raw, int status, const std::vector<std::string>& publishes = {}) {
    CAPTURE(raw.substr(0, 300), raw.size());
    auto expected = published();
    expected.insert(expected.end(), publishes.begin(), publishes.end());
    expected.emplace_back("behind");
    auto client = connect();
    client.send(raw + behind());
    const auto answer = client.read_response(raw.starts_with("HEAD "));
    CHECK(answer.status == status);
    CHECK(client.read_response().status == 202);
    CHECK(published() == expected);
    return answer;
  }

  static void check_problem(const Response& answer, int status) {
    CHECK(answer.status == status);
    CHECK(answer.minor_version == 1);
    CHECK(answer.header("Content-Type") == "application/problem+json");
    CHECK(answer.count("Date") == 1);
    CHECK(answer.count("Content-Length") == 1);
    const auto problem = nlohmann::json::parse(answer.body);
    CHECK(problem.at("status") == status);
    CHECK_FALSE(problem.at("title").get<std::string>().empty());
    CHECK_FALSE(problem.at("detail").get<std::string>().empty());
  }

  static std::string behind() { return request_text("POST", "/channels/c", {}, "behind"); }

 private:
  static std::vector<std::string> with_port(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--port", "0", "--telemetry", "off"});
    return arguments;
  }

  ExampleProgram program_;
};

/// A POST to the channel with these header lines, each with its CRLF, and this body as it is.
inline std::string post_with(std::string_view headers, std::string_view body = {}) {
  std::string raw = "POST /channels/c HTTP/1.1\r\nHost: localhost\r\n";
  return raw.append(headers).append("\r\n").append(body);
}

}  // namespace downlink::testing
