#include "hub/process.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace hub {

Process read_process() {
  Process process;
#if defined(__unix__) || defined(__APPLE__)
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    process.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) process.max_files = files.rlim_cur;
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  if (std::ifstream pages{"/proc/self/statm"}; pages >> all >> resident) {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    process.virtual_bytes = all * page;
    process.resident_bytes = resident * page;
  }
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  // One of them is the directory itself.
  if (!error) process.open_files = static_cast<std::uint64_t>(std::distance(begin(open), end(open))) - 1;
#endif
  return process;
}

}  // namespace hub
