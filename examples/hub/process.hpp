#pragma once

#include <cstdint>
#include <optional>

namespace hub {

/// What this process takes, as far as the system tells.
struct Process {
  std::optional<double> cpu_seconds = {};
  std::optional<std::uint64_t> resident_bytes = {};
  std::optional<std::uint64_t> virtual_bytes = {};
  std::optional<std::uint64_t> open_files = {};
  std::optional<std::uint64_t> max_files = {};
};

Process read_process();

}  // namespace hub
