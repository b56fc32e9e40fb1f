#include "hub/telemetry.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <locale>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

namespace hub {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view digits = "0123456789";

// The kernel counts in sectors of this size whatever the disk's own is.
constexpr std::uint64_t sector_size = 512;

std::optional<std::string> read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = line.find_first_not_of(blanks); begin != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(blanks, end);
  }
  return fields;
}

template <class Handler>
void for_each_line(std::string_view text, Handler handler) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    handler(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The line's fields after its name: user nice system idle iowait irq softirq steal guest guest_nice. Older kernels
// have fewer. The guests' time is in user and nice already.
std::optional<CpuTimes> cpu_times(const std::vector<std::string_view>& fields) {
  constexpr std::size_t idle = 4;
  constexpr std::size_t iowait = 5;
  constexpr std::size_t steal = 8;
  if (fields.size() <= idle) return std::nullopt;
  CpuTimes times;
  for (std::size_t i = 1; i < fields.size() && i <= steal; ++i) {
    const auto ticks = to_number(fields[i]);
    if (!ticks) return std::nullopt;
    times.total += *ticks;
    if (i != idle && i != iowait) times.busy += *ticks;
  }
  return times;
}

// `loop0` and `loop0p1`, but not `loopback`.
bool is_kind(std::string_view name, std::string_view kind) {
  return name.size() > kind.size() && name.starts_with(kind) &&
         digits.find(name[kind.size()]) != std::string_view::npos;
}

// `sda1` of `sda`, and `nvme0n1p1` of `nvme0n1`: a name that ends in a digit has a `p` between.
bool is_partition(std::string_view name, const TrafficByName& devices) {
  const std::size_t last = name.find_last_not_of(digits);
  if (last == std::string_view::npos || last + 1 == name.size()) return false;
  if (devices.contains(name.substr(0, last + 1))) return true;
  const std::string_view device = name.substr(0, last);
  return name[last] == 'p' && !device.empty() && digits.find(device.back()) != std::string_view::npos &&
         devices.contains(device);
}

std::uint64_t growth(std::uint64_t before, std::uint64_t now) { return now > before ? now - before : 0; }

std::optional<LoadAverages> load_averages() {
  if (const auto text = read_file("/proc/loadavg")) return parse_loadavg(*text);
#ifndef _WIN32
  LoadAverages load{};
  if (getloadavg(load.data(), static_cast<int>(load.size())) == static_cast<int>(load.size())) return load;
#endif
  return std::nullopt;
}

std::optional<Memory> memory() {
  const auto text = read_file("/proc/meminfo");
  return text ? parse_meminfo(*text) : std::nullopt;
}

}  // namespace

std::optional<Processors> parse_stat(std::string_view text) {
  Processors processors;
  bool found = false;
  for_each_line(text, [&](std::string_view line) {
    if (!line.starts_with("cpu")) return;
    const auto fields = fields_of(line);
    const auto times = cpu_times(fields);
    if (!times) return;
    const std::string_view core = fields.front().substr(3);
    if (core.empty()) {
      processors.all = *times;
      found = true;
    } else if (const auto number = to_number(core)) {
      processors.cores.emplace(static_cast<unsigned>(*number), *times);
    }
  });
  if (!found) return std::nullopt;
  return processors;
}

std::optional<Memory> parse_meminfo(std::string_view text) {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> available;
  for_each_line(text, [&](std::string_view line) {
    const auto fields = fields_of(line);
    if (fields.size() < 2) return;
    if (fields[0] == "MemTotal:") total = to_number(fields[1]);
    if (fields[0] == "MemAvailable:") available = to_number(fields[1]);
  });
  if (!total || !available) return std::nullopt;
  constexpr std::uint64_t unit = 1024;
  return Memory{.used = growth(*available, *total) * unit, .total = *total * unit};
}

std::optional<LoadAverages> parse_loadavg(std::string_view text) {
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  LoadAverages load{};
  for (double& value : load) stream >> value;
  if (!stream) return std::nullopt;
  return load;
}

TrafficByName parse_net_dev(std::string_view text) {
  TrafficByName interfaces;
  for_each_line(text, [&](std::string_view line) {
    // The first counter may follow the colon without a blank.
    const std::size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) return;
    const auto name = fields_of(line.substr(0, colon));
    const auto counters = fields_of(line.substr(colon + 1));
    if (name.size() != 1 || counters.size() < 9) return;
    const auto received = to_number(counters[0]);
    const auto sent = to_number(counters[8]);
    if (received && sent) interfaces.emplace(name.front(), Traffic{.in = *received, .out = *sent});
  });
  if (interfaces.size() > 1) interfaces.erase("lo");
  return interfaces;
}

TrafficByName parse_diskstats(std::string_view text) {
  TrafficByName devices;
  for_each_line(text, [&](std::string_view line) {
    const auto fields = fields_of(line);
    if (fields.size() < 10) return;
    const std::string_view name = fields[2];
    for (const auto kind : {"loop", "ram", "zram", "dm-", "md"}) {
      if (is_kind(name, kind)) return;
    }
    const auto read = to_number(fields[5]);
    const auto written = to_number(fields[9]);
    if (read && written) devices.emplace(name, Traffic{.in = *read * sector_size, .out = *written * sector_size});
  });
  TrafficByName whole;
  for (const auto& [name, traffic] : devices) {
    if (!is_partition(name, devices)) whole.emplace(name, traffic);
  }
  return whole;
}

double busy_percent(const CpuTimes& before, const CpuTimes& now) {
  const std::uint64_t total = growth(before.total, now.total);
  if (total == 0) return 0;
  // The kernel may take back waiting time, so that busy seems to grow by more than the whole.
  const std::uint64_t busy = std::min(growth(before.busy, now.busy), total);
  return std::round(1000.0 * static_cast<double>(busy) / static_cast<double>(total)) / 10.0;
}

Traffic bytes_per_second(const TrafficByName& before, const TrafficByName& now, std::chrono::duration<double> elapsed) {
  if (elapsed.count() <= 0) return {};
  Traffic sum;
  for (const auto& [name, traffic] : now) {
    const auto earlier = before.find(name);
    if (earlier == before.end()) continue;
    sum.in += growth(earlier->second.in, traffic.in);
    sum.out += growth(earlier->second.out, traffic.out);
  }
  const auto rate = [&](std::uint64_t bytes) {
    return static_cast<std::uint64_t>(std::llround(static_cast<double>(bytes) / elapsed.count()));
  };
  return {.in = rate(sum.in), .out = rate(sum.out)};
}

Telemetry::Telemetry() : previous_(read()) {}

Telemetry::Reading Telemetry::read() {
  Reading reading;
  reading.at = std::chrono::steady_clock::now();
  if (const auto text = read_file("/proc/stat")) reading.processors = parse_stat(*text);
  if (const auto text = read_file("/proc/net/dev")) reading.network = parse_net_dev(*text);
  if (const auto text = read_file("/proc/diskstats")) reading.disks = parse_diskstats(*text);
  return reading;
}

std::string Telemetry::sample(std::size_t subscribers) {
  Reading now = read();
  const std::chrono::duration<double> elapsed = now.at - previous_.at;

  // All members first, so that each stands in its place, null where nothing is known.
  Json figures = {{"t", nullptr},    {"cpu", nullptr},     {"cpu_total", nullptr}, {"memory", nullptr},
                  {"load", nullptr}, {"network", nullptr}, {"disk", nullptr},      {"subscribers", subscribers}};

  const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
  figures["t"] = std::chrono::duration_cast<std::chrono::milliseconds>(unix_time).count();

  if (previous_.processors && now.processors) {
    Json cores = Json::array();
    for (const auto& [number, times] : now.processors->cores) {
      const auto earlier = previous_.processors->cores.find(number);
      cores.push_back(earlier == previous_.processors->cores.end() ? 0.0 : busy_percent(earlier->second, times));
    }
    figures["cpu"] = std::move(cores);
    figures["cpu_total"] = busy_percent(previous_.processors->all, now.processors->all);
  }
  if (const auto figure = memory()) figures["memory"] = {{"used", figure->used}, {"total", figure->total}};
  if (const auto figure = load_averages()) figures["load"] = *figure;
  if (previous_.network && now.network) {
    const Traffic rate = bytes_per_second(*previous_.network, *now.network, elapsed);
    figures["network"] = {{"received", rate.in}, {"sent", rate.out}};
  }
  if (previous_.disks && now.disks) {
    const Traffic rate = bytes_per_second(*previous_.disks, *now.disks, elapsed);
    figures["disk"] = {{"read", rate.in}, {"written", rate.out}};
  }

  previous_ = std::move(now);
  return figures.dump();
}

}  // namespace hub
