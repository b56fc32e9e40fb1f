#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "hub/error_log.hpp"
#include "hub/metrics.hpp"
#include "support/catch.hpp"
#include "support/prometheus.hpp"

using namespace downlink;
using downlink::testing::PrometheusText;

TEST_CASE("the parser of Prometheus' format that tests use takes nothing that the format forbids", "[hub][metrics]") {
  const std::string family = "# HELP a_total Help.\n# TYPE a_total counter\n";
  CHECK(PrometheusText(family + "a_total{x=\"1\",y=\"\\\"\\\\\\n\"} 3\na_total 1.5\n")["a_total"] == 1.5);
  for (const std::string bad : {
           "a_total 1",     // no line end
           "a_total -1\n",  // a counter below zero
           "a_total  1\n",
           "a_total x\n",
           "a_total 1 \n",
           "a_total 1\na_total 2\n",
           "a_total{} x\n",
           "a_total{x=1} 1\n",
           "a_total{x=\"1} 1\n",
           "a_total{x=\"\\t\"} 1\n",
           "a_total{x=\"1\"y=\"2\"} 1\n",
           "a_total{x=\"1\",x=\"2\"} 1\n",
           "a_total{1=\"1\"} 1\n",
           "b_total 1\n",  // of another family
           "# HELP a_total Again.\n",
           "# TYPE a_total counter\n",
           "",  // no samples
           "\n",
           "a_total 1\n# HELP b Help.\n# TYPE b gauge\nb 1\na_total{x=\"1\"} 1\n",  // not contiguous
           "a_total 1\n# TYPE b gauge\nb 1\n",                                      // no help
           "a_total 1\n# HELP b Help.\n# TYPE b counter\nb 1\n",                    // no _total
           "a_total 1\n# HELP b Help.\n# TYPE b number\nb 1\n",
       }) {
    INFO(bad);
    CHECK_THROWS_AS(PrometheusText(family + bad), std::exception);
  }
}

TEST_CASE("the hub's metrics are Prometheus' text format, each family once and in one piece", "[hub][metrics]") {
  const auto started = std::chrono::system_clock::now();
  hub::Metrics metrics{.process = hub::read_process(), .started = started};
  metrics.server.subscribers[TransportKind::sse] = 3;
  metrics.server.ended[EndReason::too_slow] = 4;
  metrics.server.refused[404] = 5;
  metrics.server.refused[418] = 6;
  metrics.channels.channels = 7;
  metrics.channels.sum.published_messages = 8;
  metrics.channels.sum.published_bytes = ~std::uint64_t{0};
  metrics.channels.sum.largest_lag_bytes = 9;
  const PrometheusText text(hub::to_prometheus(metrics));
  CHECK(text["downlink_streams{transport=\"sse\"}"] == 3);
  CHECK(text["downlink_streams{transport=\"long_polling\"}"] == 0);
  CHECK(text["downlink_streams_ended_total{reason=\"too_slow\"}"] == 4);
  CHECK(text["downlink_requests_refused_total{code=\"404\"}"] == 5);
  CHECK(text["downlink_requests_refused_total{code=\"503\"}"] == 0);
  CHECK(text["downlink_requests_refused_total{code=\"418\"}"] == 6);
  CHECK_FALSE(text.has("downlink_requests_refused_total{code=\"402\"}"));
  CHECK(text["downlink_channels"] == 7);
  CHECK(text["downlink_messages_published_total"] == 8);
  CHECK(text["downlink_published_bytes_total"] > 1.8e19);
  CHECK(text["downlink_largest_lag_bytes"] == 9);
  // One series for each reason, whatever the reasons are called.
  std::set<std::string> reasons;
  for (const auto& [sample, value] : text.samples()) {
    if (sample.starts_with("downlink_streams_ended_total{")) reasons.insert(sample);
    CHECK(sample.find("unknown") == std::string::npos);
  }
  CHECK(reasons.size() == metrics.server.ended.figures.size());

  const double now = std::chrono::duration<double>(started.time_since_epoch()).count();
  CHECK(std::abs(text["process_start_time_seconds"] - now) < 0.001);
}

TEST_CASE("the process's figures are those of this process", "[hub][metrics]") {
  const auto process = hub::read_process();
#if defined(__linux__)
  REQUIRE(process.resident_bytes);
  CHECK(*process.resident_bytes > 1 << 20);
  CHECK(*process.virtual_bytes >= *process.resident_bytes);
  CHECK(*process.cpu_seconds > 0);
  CHECK(*process.open_files >= 1);
  CHECK(*process.max_files >= *process.open_files);
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(file);
  CHECK(hub::read_process().open_files == *process.open_files + 1);
  std::fclose(file);
#endif
  // What the system does not tell is left out.
  const PrometheusText text(hub::to_prometheus({}));
  CHECK_FALSE(text.has("process_open_fds"));
  CHECK_FALSE(text.types().contains("process_open_fds"));
}

TEST_CASE("errors are written a line each, a bounded number a second, and nothing else is", "[hub][log]") {
  using namespace std::chrono_literals;
  std::ostringstream out;
  hub::ErrorLog log(out);
  const hub::ErrorLog::Clock::time_point start{1h};
  log.write({.level = LogLevel::warning, .text = "dropped"}, start);
  log.write({.level = LogLevel::info, .text = "refused"}, start);
  CHECK(out.str().empty());
  const LogEntry failed{.level = LogLevel::error,
                        .event = LogEvent::handler_failed,
                        .text = "bad\nline",
                        .remote_address = "10.0.0.1",
                        .path = "/channels/a\x1b[2J"};
  log.write(failed, start);
  CHECK(out.str() == "hub: handler_failed at /channels/a?[2J for 10.0.0.1: bad?line\n");
  for (int i = 0; i < 100; ++i) log.write(failed, start + 10ms);
  const auto lines = [&] {
    const auto text = out.str();
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  };
  CHECK(lines() == hub::ErrorLog::lines_a_second);
  log.write({.level = LogLevel::error, .event = LogEvent::accept_failed, .text = "x"}, start + 1s);
  CHECK(out.str().ends_with("hub: 91 more errors\nhub: accept_failed: x\n"));
}
