#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

/// What every server of the suite understands on its control port: lines of `publish COUNT SIZE CHANNELS`, which let it
/// publish COUNT messages of SIZE bytes to each of its first CHANNELS channels, inside its own process.
struct Command {
  std::uint64_t count = 0;
  std::size_t size = 0;
  std::size_t channels = 1;
};

/// Nothing where the line is another one.
inline std::optional<Command> parse_command(const std::string& line) {
  unsigned long long numbers[3];
  if (std::sscanf(line.c_str(), "publish %llu %llu %llu", &numbers[0], &numbers[1], &numbers[2]) != 3) return {};
  return Command{numbers[0], static_cast<std::size_t>(numbers[1]), static_cast<std::size_t>(numbers[2])};
}

/// Takes whole lines from what has come on a control connection.
template <class Function>
void take_lines(std::string& received, Function&& function) {
  std::size_t begin = 0;
  for (std::size_t end; (end = received.find('\n', begin)) != std::string::npos; begin = end + 1) {
    function(received.substr(begin, end - begin));
  }
  received.erase(0, begin);
}

/// The channel's message of this number: sixteen digits that `load` checks the order by, filled up to the size.
inline std::string payload(std::uint64_t number, std::size_t size) {
  std::string text(size < 16 ? 16 : size, 'x');
  for (std::size_t i = 16; i-- > 0; number /= 10) text[i] = static_cast<char>('0' + number % 10);
  return text;
}

/// What every request must carry to be let in.
inline constexpr std::string_view authorization = "Bearer benchmark";
