#include "hub/error_log.hpp"

#include <ostream>
#include <string_view>

namespace hub {

void ErrorLog::write(const downlink::LogEntry& entry, Clock::time_point now) {
  if (entry.level != downlink::LogLevel::error) return;
  const std::lock_guard guard(mutex_);
  if (now - second_ >= std::chrono::seconds{1}) {
    if (lines_ > lines_a_second) out_ << "hub: " << lines_ - lines_a_second << " more errors\n";
    second_ = now;
    lines_ = 0;
  }
  if (++lines_ <= lines_a_second) out_ << to_line(entry) << std::endl;
}

std::string to_line(const downlink::LogEntry& entry) {
  std::string line("hub: ");
  const auto add = [&line](std::string_view text) {
    for (const char c : text) line += c >= ' ' && c <= '~' ? c : '?';
  };
  add(name_of(entry.event));
  if (!entry.path.empty()) add(" at ");
  add(entry.path);
  if (!entry.remote_address.empty()) add(" for ");
  add(entry.remote_address);
  add(": ");
  add(entry.text);
  return line;
}

}  // namespace hub
