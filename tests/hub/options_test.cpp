#include "hub/options.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

// Keeps what is written to a stream while it lives.
class Captured {
 public:
  explicit Captured(std::ostream& stream) : stream_(stream), before_(stream.rdbuf(text_.rdbuf())) {}
  ~Captured() { stream_.rdbuf(before_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::ostream& stream_;
  std::streambuf* before_;
};

struct Outcome {
  hub::Options options;
  std::optional<int> exit_code;
  std::string output;
  std::string errors;
};

Outcome parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"hub"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  Outcome outcome;
  const Captured output(std::cout);
  const Captured errors(std::cerr);
  outcome.exit_code = hub::parse_options(static_cast<int>(argv.size()), argv.data(), outcome.options);
  outcome.output = output.text();
  outcome.errors = errors.text();
  return outcome;
}

hub::Options accepted(const std::vector<std::string>& arguments) {
  const auto outcome = parse(arguments);
  INFO(outcome.errors);
  REQUIRE_FALSE(outcome.exit_code);
  CHECK(outcome.errors.empty());
  CHECK(outcome.output.empty());
  return outcome.options;
}

// The sentence that the user is told, which must be one line on stderr.
std::string refused(const std::vector<std::string>& arguments) {
  const auto outcome = parse(arguments);
  CHECK(outcome.exit_code == 2);
  CHECK(outcome.output.empty());
  CHECK(outcome.errors.starts_with("hub: "));
  CHECK(outcome.errors.ends_with('\n'));
  CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
  return outcome.errors;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("without options the hub has its defaults", "[hub][options][wire-10]") {
  using enum hub::TransportName;
  const auto options = accepted({});
  CHECK(options.port == 8080);
  CHECK(options.address == "127.0.0.1");
  CHECK(options.threads == 1);
  CHECK(options.transports == std::vector{websocket, sse, long_polling, short_polling});
  CHECK(options.history == 1000);
  CHECK(options.history_bytes == 67108864);
  CHECK_FALSE(options.history_age);
  CHECK(options.heartbeat == 30s);
  CHECK(options.max_wait == 60s);
  CHECK(options.allow_origins.empty());
  CHECK(options.trusted_proxies.empty());
  CHECK_FALSE(options.proxy_protocol);
  CHECK_FALSE(options.token);
  CHECK_FALSE(options.publish_token);
  CHECK(options.max_message == 1048576);
  CHECK(options.max_lag == 1048576);
  CHECK(options.lag_policy == hub::LagPolicy::disconnect);
  CHECK(options.max_connections == 0);
  CHECK(options.head_timeout == 10s);
  CHECK(options.body_timeout == 30s);
  CHECK(options.idle_timeout == 75s);
  CHECK(options.channel_idle == 60s);
  CHECK(options.drain_timeout == 5s);
  CHECK(options.telemetry);
}

TEST_CASE("each option sets its member", "[hub][options][wire-10]") {
  using enum hub::TransportName;
  const auto options = accepted({"--port",
                                 "0",
                                 "--address",
                                 "0.0.0.0",
                                 "--threads=4",
                                 "--transports",
                                 "short,sse",
                                 "--history",
                                 "7",
                                 "--history-bytes",
                                 "4096",
                                 "--history-age",
                                 "1.5",
                                 "--heartbeat",
                                 "0.25",
                                 "--max-wait",
                                 "2",
                                 "--allow-origin",
                                 "https://a.test",
                                 "--allow-origin",
                                 "*",
                                 "--token",
                                 "reader",
                                 "--publish-token",
                                 "writer",
                                 "--max-message",
                                 "100",
                                 "--max-lag",
                                 "200",
                                 "--lag-policy",
                                 "skip",
                                 "--max-connections",
                                 "50",
                                 "--head-timeout",
                                 "1",
                                 "--body-timeout",
                                 "3",
                                 "--idle-timeout",
                                 "4",
                                 "--channel-idle",
                                 "0",
                                 "--drain-timeout",
                                 "0.5",
                                 "--telemetry",
                                 "off"});
  CHECK(options.port == 0);
  CHECK(options.address == "0.0.0.0");
  CHECK(options.threads == 4);
  CHECK(options.transports == std::vector{short_polling, sse});
  CHECK(options.history == 7);
  CHECK(options.history_bytes == 4096);
  CHECK(options.history_age == 1500ms);
  CHECK(options.heartbeat == 250ms);
  CHECK(options.max_wait == 2s);
  CHECK(options.allow_origins == std::vector<std::string>{"https://a.test", "*"});
  CHECK(options.token == "reader");
  CHECK(options.publish_token == "writer");
  CHECK(options.max_message == 100);
  CHECK(options.max_lag == 200);
  CHECK(options.lag_policy == hub::LagPolicy::skip);
  CHECK(options.max_connections == 50);
  CHECK(options.head_timeout == 1s);
  CHECK(options.body_timeout == 3s);
  CHECK(options.idle_timeout == 4s);
  CHECK(options.channel_idle == 0s);
  CHECK(options.drain_timeout == 500ms);
  CHECK_FALSE(options.telemetry);
}

TEST_CASE("help goes to stdout and ends with 0, whatever else was given", "[hub][options][wire-10]") {
  for (const auto& arguments : {std::vector<std::string>{"--help"}, {"--port", "x", "--help"}}) {
    const auto outcome = parse(arguments);
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.errors.empty());
    for (const auto* option : {"--port",          "--address",       "--threads",       "--transports",
                               "--history ",      "--history-bytes", "--history-age",   "--heartbeat",
                               "--max-wait",      "--allow-origin",  "--token",         "--publish-token",
                               "--max-message",   "--max-lag",       "--lag-policy",    "--max-connections",
                               "--head-timeout",  "--body-timeout",  "--idle-timeout",  "--channel-idle",
                               "--drain-timeout", "--telemetry",     "--trusted-proxy", "--proxy-protocol"}) {
      INFO(option);
      CHECK(contains(outcome.output, option));
    }
  }
}

TEST_CASE("help tells each option's default, and its reason or where to read it", "[hub][options]") {
  const auto help = parse({"--help"}).output;
  std::map<std::string, std::string> told;
  for (auto begin = help.find("\n  --"); begin != std::string::npos;) {
    const auto end = help.find("\n  --", begin + 1);
    const auto text = help.substr(begin + 3, end == std::string::npos ? end : end - begin - 3);
    begin = end;
    INFO(text);
    const auto open = text.find('(');
    REQUIRE(open != std::string::npos);
    const auto stop = text.find_first_of(":;", open);
    REQUIRE(stop < text.find(')', open));
    told[text.substr(0, text.find(' '))] = text.substr(open + 1, stop - open - 1);
  }
  const hub::Options defaults;
  const auto seconds = [](std::chrono::milliseconds time) { return std::to_string(time / 1s); };
  CHECK(told["--port"] == std::to_string(defaults.port));
  CHECK(told["--address"] == defaults.address);
  CHECK(told["--threads"] == std::to_string(defaults.threads));
  CHECK(told["--history"] == std::to_string(defaults.history));
  CHECK(told["--history-bytes"] == std::to_string(defaults.history_bytes));
  CHECK(told["--heartbeat"] == seconds(defaults.heartbeat));
  CHECK(told["--max-wait"] == seconds(defaults.max_wait));
  CHECK(told["--max-message"] == std::to_string(defaults.max_message));
  CHECK(told["--max-lag"] == std::to_string(defaults.max_lag));
  CHECK(told["--max-connections"] == std::to_string(defaults.max_connections));
  CHECK(told["--head-timeout"] == seconds(defaults.head_timeout));
  CHECK(told["--body-timeout"] == seconds(defaults.body_timeout));
  CHECK(told["--idle-timeout"] == seconds(defaults.idle_timeout));
  CHECK(told["--channel-idle"] == seconds(defaults.channel_idle));
  CHECK(told["--drain-timeout"] == seconds(defaults.drain_timeout));
}

TEST_CASE("what is no option is refused by its name", "[hub][options][wire-10]") {
  CHECK(contains(refused({"--compress"}), "unknown option --compress"));
  CHECK(contains(refused({"--prot", "80"}), "unknown option --prot"));
  CHECK(contains(refused({"-p"}), "unknown option -p"));
  CHECK(contains(refused({"8080"}), "unexpected argument 8080"));
  CHECK(contains(refused({"--", "8080"}), "unexpected argument 8080"));
}

TEST_CASE("an option that has one value takes exactly one", "[hub][options][wire-10]") {
  CHECK(contains(refused({"--port"}), "--port takes exactly one value"));
  CHECK(contains(refused({"--port", "1", "--port", "2"}), "--port takes exactly one value"));
  CHECK(contains(refused({"--allow-origin"}), "--allow-origin takes exactly one value"));
  CHECK(
      contains(refused({"--allow-origin", "https://a.test", "https://b.test"}), "unexpected argument https://b.test"));
}

TEST_CASE("whole numbers are decimal digits within their range", "[hub][options][wire-10]") {
  CHECK(accepted({"--port", "65535"}).port == 65535);
  CHECK(accepted({"--port", "0080"}).port == 80);
  CHECK(accepted({"--threads", "256"}).threads == 256);
  for (const auto* value : {"65536", "-1", "+1", "0x50", "80a", " 80", "", "8.5", "99999999999999999999999"}) {
    CHECK(contains(refused({"--port", value}),
                   "--port takes a whole number from 0 to 65535, not '" + std::string(value)));
  }
  for (const auto* value : {"0", "257"}) {
    CHECK(contains(refused({"--threads", value}), "--threads takes a whole number from 1 to 256"));
  }
  for (const auto* option : {"--history", "--history-bytes", "--max-message", "--max-lag"}) {
    CHECK(contains(refused({option, "0"}), std::string(option) + " takes a whole number from 1"));
    CHECK(contains(refused({option, "18446744073709551615"}), std::string(option) + " takes a whole number from 1"));
  }
  CHECK(contains(refused({"--max-connections", "none"}), "--max-connections takes a whole number from 0"));
}

TEST_CASE("times are seconds with fractions, kept to the millisecond", "[hub][options][wire-10]") {
  for (const auto& [text, time] : {std::pair<const char*, std::chrono::milliseconds>{"1", 1s},
                                   {"0.5", 500ms},
                                   {".5", 500ms},
                                   {"5.", 5s},
                                   {"1.25", 1250ms},
                                   {"0.001", 1ms},
                                   {"0.0001", 1ms},
                                   {"2.0010", 2001ms},
                                   {"31536000", 31536000s}}) {
    INFO(text);
    CHECK(accepted({"--heartbeat", text}).heartbeat == time);
  }
  for (const auto* value : {"0", "0.000", "-1", "nan", "inf", "1e3", "0x1", "1,5", "1.2.3", ".", "", "1s",
                            "31536000.001", "99999999999999999999999"}) {
    CHECK(contains(refused({"--heartbeat", value}), "--heartbeat takes a number of seconds from 0.001"));
  }
  for (const auto* option : {"--history-age", "--max-wait", "--head-timeout", "--body-timeout", "--idle-timeout"}) {
    CHECK(contains(refused({option, "0"}), std::string(option) + " takes a number of seconds from 0.001"));
  }
  CHECK(accepted({"--channel-idle", "0"}).channel_idle == 0s);
  CHECK(accepted({"--drain-timeout", "0"}).drain_timeout == 0s);
}

TEST_CASE("the address is an IP address", "[hub][options][wire-10]") {
  for (const auto* value : {"127.0.0.1", "0.0.0.0", "::1", "::", "fe80::1%eth0"}) {
    CHECK(accepted({"--address", value}).address == value);
  }
  for (const auto* value : {"localhost", "127.0.0", "127.0.0.256", "1.2.3.4%eth0", "[::1]", "fe80::1%", "::1:::", ""}) {
    CHECK(contains(refused({"--address", value}), "--address takes an IP address"));
  }
}

TEST_CASE("trusted proxies are addresses and networks", "[hub][options][wire-8]") {
  const auto options = accepted({"--trusted-proxy", "10.0.0.0/8", "--trusted-proxy=::1", "--proxy-protocol"});
  CHECK(options.trusted_proxies == std::vector<std::string>{"10.0.0.0/8", "::1"});
  CHECK(options.proxy_protocol);
  for (const auto* bad : {"localhost", "10.0.0.0/", "10.0.0.0/33", "::1/129", "10.0.0.1:80", "10.0.0.0/8x"}) {
    CHECK(contains(refused({std::string("--trusted-proxy=") + bad}), "an address or network"));
  }
  CHECK(contains(refused({"--proxy-protocol"}), "--trusted-proxy"));
  CHECK(contains(refused({"--proxy-protocol", "--trusted-proxy=::1", "--tls-cert=a", "--tls-key=b"}), "exclude"));
}

TEST_CASE("transports are a list of known names, each once", "[hub][options][wire-10]") {
  using enum hub::TransportName;
  CHECK(accepted({"--transports", "long"}).transports == std::vector{long_polling});
  CHECK(accepted({"--transports", "sse,websocket"}).transports == std::vector{sse, websocket});
  for (const auto* value : {"", ",", "sse,", ",sse", "sse,,long", "SSE", "sse, long", "polling", "[sse,long]"}) {
    CHECK(contains(refused({"--transports", value}), "list of websocket, sse, long and short"));
  }
  CHECK(contains(refused({"--transports", "sse,long,sse"}), "names 'sse' more than once"));
}

TEST_CASE("origins are kept as browsers send them", "[hub][options][wire-10]") {
  for (const auto& [given, kept] : {std::pair{"https://example.com", "https://example.com"},
                                    {"HTTPS://Example.COM:443", "https://example.com"},
                                    {"http://localhost:80", "http://localhost"},
                                    {"http://localhost:443", "http://localhost:443"},
                                    {"http://127.0.0.1:3000", "http://127.0.0.1:3000"},
                                    {"http://[::1]", "http://[::1]"},
                                    {"http://[::1]:03000", "http://[::1]:3000"},
                                    {"app+x://page", "app+x://page"},
                                    {"*", "*"}}) {
    CHECK(accepted({"--allow-origin", given}).allow_origins == std::vector<std::string>{kept});
  }
  for (const auto* value :
       {"",           "example.com", "https://",        "https://a/",    "https://a/b", "https://a?b", "https://u@a",
        "https://a:", "https://a:0", "https://a:65536", "https://a:b",   "https://a b", "https://*.a", "//a",
        "1a://b",     "http://[::1", "http://[x]",      "http://[::1]b", "http://::1",  "null",        "**"}) {
    CHECK(contains(refused({"--allow-origin", value}), "--allow-origin takes an origin"));
  }
}

TEST_CASE("the publishing token is that of subscribing unless it is given", "[hub][options][wire-10]") {
  const auto both = accepted({"--token", "T0ken-._~+/=="});
  CHECK(both.token == "T0ken-._~+/==");
  CHECK(both.publish_token == "T0ken-._~+/==");
  const auto publishing = accepted({"--publish-token", "w"});
  CHECK_FALSE(publishing.token);
  CHECK(publishing.publish_token == "w");
}

TEST_CASE("a token that no Authorization header could carry is refused without repeating it",
          "[hub][options][wire-10]") {
  for (const auto* value : {"", "secret word", "s\u00e9cret", "secret\n"}) {
    for (const auto* option : {"--token", "--publish-token"}) {
      const auto sentence = refused({option, value});
      CHECK(contains(sentence, std::string(option) + " takes visible ASCII"));
      CHECK_FALSE(contains(sentence, "secret"));
    }
  }
}

TEST_CASE("the choices of an option are named when another is given", "[hub][options][wire-10]") {
  CHECK(contains(refused({"--lag-policy", "drop"}), "--lag-policy takes disconnect or skip, not 'drop'"));
  CHECK(contains(refused({"--telemetry", "yes"}), "--telemetry takes on or off, not 'yes'"));
  CHECK(accepted({"--lag-policy", "disconnect"}).lag_policy == hub::LagPolicy::disconnect);
  CHECK(accepted({"--telemetry", "on"}).telemetry);
}

TEST_CASE("bad options leave the options as they were", "[hub][options][wire-10]") {
  const auto outcome = parse({"--port", "1", "--threads", "0"});
  CHECK(outcome.exit_code == 2);
  CHECK(outcome.options.port == 8080);
}
