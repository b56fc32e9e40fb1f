#include "hub/options.hpp"

#ifdef _WIN32
#define NOMINMAX
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace hub {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view digits = "0123456789";
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz";

// Far past any use, and low enough that sums of such values and conversions to nanoseconds hold.
constexpr std::size_t largest_count = 1'000'000'000;
constexpr std::size_t largest_size = std::size_t{1} << (sizeof(std::size_t) > 4 ? 40 : 30);
constexpr std::chrono::seconds longest_time = std::chrono::hours(24 * 365);

// Carries the sentence that the user is told.
struct BadOption : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void expected(const std::string& what, const std::string& value) {
  throw BadOption("takes " + what + ", not '" + value + "'");
}

bool only(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

template <class Number>
Number whole_number(const std::string& value, Number least, Number most) {
  const auto number = to_number(value);
  if (!number || *number < least || *number > most) {
    expected("a whole number from " + std::to_string(least) + " to " + std::to_string(most), value);
  }
  return static_cast<Number>(*number);
}

// `30`, `0.25` or `.5`, in decimal digits alone; what is finer than a millisecond is rounded up, so that no time that
// was given becomes none.
milliseconds seconds(const std::string& value, milliseconds least) {
  const std::string what = "a number of seconds from " + std::string(least.count() > 0 ? "0.001" : "0") + " to " +
                           std::to_string(longest_time.count());
  const std::string_view text = value;
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  std::string fraction(text.substr(std::min(point + 1, text.size())));
  if (!only(std::string(whole) + fraction, digits)) expected(what, value);

  const bool finer = fraction.find_first_not_of('0', 3) != std::string::npos;
  fraction.resize(3, '0');
  const auto count = whole.empty() ? std::uint64_t{0} : to_number(whole);
  if (!count || *count > static_cast<std::uint64_t>(longest_time.count())) expected(what, value);
  const milliseconds time = std::chrono::seconds(*count) + milliseconds(*to_number(fraction) + (finer ? 1 : 0));
  if (time < least || time > longest_time) expected(what, value);
  return time;
}

std::string ip_address(const std::string& value) {
  // An IPv6 address may end in a zone: `fe80::1%eth0`.
  const std::size_t zone = value.find('%');
  const std::string bare = value.substr(0, zone);
  const bool bad_zone = zone != std::string::npos && zone + 1 == value.size();
  in_addr v4{};
  in6_addr v6{};
  if (zone == std::string::npos && inet_pton(AF_INET, bare.c_str(), &v4) == 1) return value;
  if (!bad_zone && inet_pton(AF_INET6, bare.c_str(), &v6) == 1) return value;
  expected("an IP address such as 127.0.0.1, 0.0.0.0 or ::1", value);
}

// An address, perhaps with the length of a prefix.
std::string network(const std::string& value) {
  const std::size_t slash = std::min(value.find('/'), value.size());
  const std::string address = value.substr(0, slash);
  const bool v6 = address.find(':') != std::string::npos;
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  const auto prefix = to_number(std::string_view(value).substr(std::min(slash + 1, value.size())));
  if (inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1 ||
      (slash < value.size() && (!prefix || *prefix > (v6 ? 128 : 32)))) {
    expected("an address or network such as 127.0.0.1 or 10.0.0.0/8", value);
  }
  return value;
}

std::vector<TransportName> transport_names(const std::string& value) {
  static constexpr std::array<std::pair<std::string_view, TransportName>, 4> choices = {
      {{"websocket", TransportName::websocket},
       {"sse", TransportName::sse},
       {"long", TransportName::long_polling},
       {"short", TransportName::short_polling}}};
  std::vector<TransportName> names;
  for (std::size_t begin = 0; begin <= value.size();) {
    const std::size_t end = std::min(value.find(',', begin), value.size());
    const std::string name = value.substr(begin, end - begin);
    const auto choice =
        std::find_if(choices.begin(), choices.end(), [&](const auto& entry) { return entry.first == name; });
    if (choice == choices.end()) expected("a comma-separated list of websocket, sse, long and short", value);
    if (std::find(names.begin(), names.end(), choice->second) != names.end()) {
      throw BadOption("names '" + name + "' more than once");
    }
    names.push_back(choice->second);
    begin = end + 1;
  }
  return names;
}

// Browsers send origins in lower case and without the scheme's default port, so that is how they are kept.
std::string origin(const std::string& value) {
  const std::string what = "an origin such as https://example.com or http://localhost:3000, or *";
  if (value == "*") return value;
  std::string text = value;
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const std::size_t separator = text.find("://");
  if (separator == std::string::npos) expected(what, value);
  const std::string scheme = text.substr(0, separator);
  std::string host = text.substr(separator + 3);
  std::string port;
  // The colons inside an IPv6 address's brackets are none of the port's.
  const std::size_t colon = host.find(':', host.starts_with('[') ? std::min(host.find(']'), host.size()) : 0);
  if (colon != std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
    const auto number = to_number(port);
    if (!number || *number == 0 || *number > 65535) expected(what, value);
    port = std::to_string(*number);
  }

  const std::string name = std::string(letters) + std::string(digits);
  if (!only(scheme, name + "+-.") || letters.find(scheme.front()) == std::string_view::npos) expected(what, value);
  if (host.starts_with('[')) {
    in6_addr address{};
    if (!host.ends_with(']') || inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address) != 1) {
      expected(what, value);
    }
  } else if (!only(host, name + "-._~")) {
    expected(what, value);
  }

  const bool default_port = (scheme == "http" && port == "80") || (scheme == "https" && port == "443");
  return scheme + "://" + host + (port.empty() || default_port ? "" : ":" + port);
}

// What can stand in a header after `Bearer `. The value is a secret and not repeated.
std::string access_token(const std::string& value) {
  for (const char c : value) {
    if (c <= ' ' || c > '~') throw BadOption("takes visible ASCII characters");
  }
  if (value.empty()) throw BadOption("takes visible ASCII characters");
  return value;
}

// Takes option values as text, so that what is accepted does not depend on the parsing library's idea of a number.
class Parser {
 public:
  Parser() : app_("Server push over short polling, long polling, SSE and WebSocket.", "hub") {
    app_.footer("A default stands in brackets, with its reason or the library's option whose comment says why.");
  }

  using Apply = std::function<void(const std::string& value)>;

  void add_flag(const std::string& name, const std::string& description, bool& target) {
    app_.add_flag(name, target, description)->disable_flag_override();
  }

  CLI::Option& add(const std::string& name, const std::string& value, const std::string& description, Apply apply) {
    CLI::Option* const option = app_.add_option(name)->description(description)->type_name(value);
    entries_.emplace_back(option, std::move(apply));
    return *option;
  }

  template <class Choice>
  void add_choice(const std::string& name, std::pair<std::string, Choice> first, std::pair<std::string, Choice> second,
                  const std::string& description, Choice& target) {
    add(name, first.first + "|" + second.first, description, [=, &target](const std::string& value) {
      if (value != first.first && value != second.first) expected(first.first + " or " + second.first, value);
      target = value == first.first ? first.second : second.second;
    });
  }

  // Returns the exit code if the program must end. Throws `BadOption` with a whole sentence.
  std::optional<int> parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      std::cout << app_.help();
      return 0;
    } catch (const CLI::ExtrasError&) {
      const std::vector<std::string> arguments = app_.remaining();
      const std::string& argument = arguments[arguments.front() == "--" && arguments.size() > 1 ? 1 : 0];
      const bool option = argument.size() > 1 && argument.starts_with('-');
      throw BadOption((option ? "unknown option " : "unexpected argument ") + argument +
                      "; --help lists what there is");
    } catch (const CLI::ArgumentMismatch& error) {
      // The message begins with the option's name; what follows differs between versions of the library.
      const std::string message = error.what();
      const std::string name = message.substr(0, message.find_first_of(": "));
      if (!name.starts_with("--")) throw BadOption("--" + name + " takes no value");
      throw BadOption(name + " takes exactly one value");
    } catch (const CLI::ParseError& error) {
      throw BadOption(error.what());
    }
    for (const auto& [option, apply] : entries_) {
      for (const std::string& value : option->results()) {
        try {
          apply(value);
        } catch (const BadOption& error) {
          throw BadOption(option->get_name() + " " + error.what());
        }
      }
    }
    return std::nullopt;
  }

 private:
  CLI::App app_;
  std::vector<std::pair<CLI::Option*, Apply>> entries_;
};

std::optional<int> parse(int argc, const char* const* argv, Options& options) {
  Parser parser;
  const auto count = [](std::size_t& target, std::size_t least, std::size_t most) {
    return [&target, least, most](const std::string& value) { target = whole_number(value, least, most); };
  };
  const auto time = [](auto& target, milliseconds least) {
    return [&target, least](const std::string& value) { target = seconds(value, least); };
  };
  constexpr milliseconds some{1};
  constexpr milliseconds none{0};

  parser.add("--port", "N", "Listen on this port; 0 is any free one (8080: needs no rights)",
             [&](const std::string& value) { options.port = whole_number<std::uint16_t>(value, 0, 65535); });
  parser.add("--address", "IP", "Listen on this address (127.0.0.1; ServerOptions::address)",
             [&](const std::string& value) { options.address = ip_address(value); });
  parser.add("--threads", "N", "Threads that serve (1: a core is enough to try it)", count(options.threads, 1, 256));
  parser.add("--transports", "LIST", "What channels offer (websocket,sse,long,short: each client takes what it can)",
             [&](const std::string& value) { options.transports = transport_names(value); });

  parser.add("--history", "N", "Messages that a channel retains (1000; HistoryOptions::max_messages)",
             count(options.history, 1, largest_count));
  parser.add("--history-bytes", "BYTES", "Bytes that a channel retains (67108864; HistoryOptions::max_bytes)",
             count(options.history_bytes, 1, largest_size));
  parser.add("--history-age", "SECONDS", "How long a channel retains a message (no limit; HistoryOptions::max_age)",
             time(options.history_age, some));
  parser.add("--heartbeat", "SECONDS",
             "Silence after which a stream shows that it lives (30; StreamOptions::heartbeat)",
             time(options.heartbeat, some));
  parser.add("--max-wait", "SECONDS",
             "The longest that a long poll is held (60: a round minute; behind a proxy 55, EndpointOptions::max_wait)",
             time(options.max_wait, some));

  parser
      .add("--allow-origin", "ORIGIN",
           "Let pages of this origin in, or of any with '*'; may be repeated (none; EndpointOptions::cors)",
           [&](const std::string& value) { options.allow_origins.push_back(origin(value)); })
      .multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  parser
      .add("--trusted-proxy", "ADDRESS[/PREFIX]",
           "Believe a proxy there who its clients are; may be repeated (none; EndpointOptions::trusted_proxies)",
           [&](const std::string& value) { options.trusted_proxies.push_back(network(value)); })
      .multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  parser.add_flag("--proxy-protocol",
                  "Take the PROXY protocol from trusted proxies (off; ServerOptions::proxy_protocol)",
                  options.proxy_protocol);
  parser.add("--token", "TOKEN", "What a subscriber must show (none: only this machine reaches the default address)",
             [&](const std::string& value) { options.token = access_token(value); });
  parser.add("--publish-token", "TOKEN", "What a publisher must show (that of --token: who may read may write)",
             [&](const std::string& value) { options.publish_token = access_token(value); });

  parser.add("--max-message", "BYTES", "The largest message that is taken (1048576; EndpointOptions::max_message)",
             count(options.max_message, 1, largest_size));
  parser.add("--max-lag", "BYTES", "How far a subscriber may lag behind (1048576; ChannelOptions::max_lag)",
             count(options.max_lag, 1, largest_size));
  parser.add_choice<LagPolicy>("--lag-policy", {"disconnect", LagPolicy::disconnect}, {"skip", LagPolicy::skip},
                               "What happens to one that lags further (disconnect; ChannelOptions::lag_policy)",
                               options.lag_policy);
  parser.add("--max-connections", "N", "Connections at one time; 0 is no limit (0; EndpointOptions::max_connections)",
             count(options.max_connections, 0, largest_count));
#ifdef EXAMPLE_DEFLATE
  parser.add_flag("--deflate", "Compress WebSocket messages for clients that offer it (off: it takes a core's time)",
                  options.deflate);
#endif
#ifdef EXAMPLE_TLS
  parser.add("--tls-cert", "FILE",
             "Speak TLS, with this certificate chain in PEM; SIGHUP reads it again (none: a proxy may speak it)",
             [&](const std::string& value) { options.tls_cert = value; });
  parser.add("--tls-key", "FILE", "The certificate's private key in PEM (none: goes with --tls-cert)",
             [&](const std::string& value) { options.tls_key = value; });
#endif

  parser.add("--head-timeout", "SECONDS", "Time for a request's head to come (10; EndpointOptions::head_timeout)",
             time(options.head_timeout, some));
  parser.add("--body-timeout", "SECONDS", "Time for a request's body to come (30; EndpointOptions::body_timeout)",
             time(options.body_timeout, some));
  parser.add("--idle-timeout", "SECONDS", "How long an idle connection is kept (75; EndpointOptions::idle_timeout)",
             time(options.idle_timeout, some));
  parser.add("--channel-idle", "SECONDS", "How long an unused channel is kept (60; HubOptions::idle_expiry)",
             time(options.channel_idle, none));
  parser.add("--drain-timeout", "SECONDS",
             "How long shutting down may take (5: clients go one by one, within the 10 that containers get)",
             time(options.drain_timeout, none));
  parser.add_choice<bool>("--telemetry", {"on", true}, {"off", false},
                          "Publish this machine's figures on the channel 'telemetry' (on: the page shows them)",
                          options.telemetry);

  if (const auto code = parser.parse(argc, argv)) return code;
  if (options.tls_cert.has_value() != options.tls_key.has_value()) {
    throw BadOption("--tls-cert and --tls-key go together");
  }
  if (options.proxy_protocol && options.trusted_proxies.empty()) {
    throw BadOption("--proxy-protocol needs a --trusted-proxy, from whom it is taken");
  }
  if (options.proxy_protocol && options.tls_cert) {
    throw BadOption("--proxy-protocol and --tls-cert exclude each other: the proxy ends TLS, or passes it on without");
  }
  if (!options.publish_token) options.publish_token = options.token;
  return std::nullopt;
}

}  // namespace

std::optional<int> parse_options(int argc, const char* const* argv, Options& options) {
  constexpr int bad_options = 2;
  try {
    Options parsed = options;
    const auto code = parse(argc, argv, parsed);
    if (!code) options = std::move(parsed);
    return code;
  } catch (const BadOption& error) {
    std::cerr << "hub: " << error.what() << '\n';
    return bad_options;
  }
}

}  // namespace hub
