#pragma once

#include <sys/resource.h>

/// Raises the number of files that this process may open as far as it goes.
inline void raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}
