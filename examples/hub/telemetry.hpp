#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hub {

/// Time that a processor has spent since the system started, in the kernel's ticks.
struct CpuTimes {
  /// Neither idle nor waiting for a disk.
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};

/// The processors of `/proc/stat`: all together, and each core that is online by its number.
struct Processors {
  CpuTimes all;
  std::map<unsigned, CpuTimes> cores;
};

/// Memory in bytes. `used` is what programs could not have without swapping: total less available.
struct Memory {
  std::uint64_t used = 0;
  std::uint64_t total = 0;
};

/// Bytes that came in and went out since the system started: received and sent, or read and written.
struct Traffic {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
};

/// Traffic of each network interface or disk, by its name.
using TrafficByName = std::map<std::string, Traffic, std::less<>>;

/// Load averages over 1, 5 and 15 minutes.
using LoadAverages = std::array<double, 3>;

/// Reads the text of `/proc/stat`; nothing when it has no line for the processors together.
std::optional<Processors> parse_stat(std::string_view text);

/// Reads the text of `/proc/meminfo`; nothing when it lacks `MemTotal` or `MemAvailable`.
std::optional<Memory> parse_meminfo(std::string_view text);

/// Reads the text of `/proc/loadavg`; nothing when it does not begin with three numbers.
std::optional<LoadAverages> parse_loadavg(std::string_view text);

/// Reads the text of `/proc/net/dev`: every interface but `lo`, or `lo` where it is the only one.
TrafficByName parse_net_dev(std::string_view text);

/// Reads the text of `/proc/diskstats`: whole devices. Partitions, loop and memory devices, and devices stacked on
/// others
/// (`dm-0`, `md0`) are left out: their bytes are counted where they reach a disk.
TrafficByName parse_diskstats(std::string_view text);

/// Percent of the time between two readings that was busy, to one decimal; 0 where no time has passed.
double busy_percent(const CpuTimes& before, const CpuTimes& now);

/// Bytes per second between two readings, of the names that are in both: what has come anew tells nothing about its
/// rate, and a counter that began again counts as still.
Traffic bytes_per_second(const TrafficByName& before, const TrafficByName& now, std::chrono::duration<double> elapsed);

/// This machine's figures as the operating system gives them. Not thread-safe.
class Telemetry {
 public:
  /// Takes the first reading, so that the first sample has rates.
  Telemetry();

  /// The figures now as a JSON object, with rates since the previous sample:
  ///
  ///     {"t": Unix time in ms, "cpu": [percent of each core], "cpu_total": percent,
  ///      "memory": {"used": bytes, "total": bytes}, "load": [1 min, 5 min, 15 min],
  ///      "network": {"received": bytes/s, "sent": bytes/s}, "disk": {"read": bytes/s, "written": bytes/s},
  ///      "subscribers": subscribers}
  ///
  /// A member that this system does not tell is `null` as a whole (`"memory": null`).
  std::string sample(std::size_t subscribers);

 private:
  struct Reading {
    std::chrono::steady_clock::time_point at;
    std::optional<Processors> processors;
    std::optional<TrafficByName> network;
    std::optional<TrafficByName> disks;
  };

  static Reading read();

  Reading previous_;
};

}  // namespace hub
