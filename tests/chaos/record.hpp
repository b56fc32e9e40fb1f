#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace downlink::chaos {

/// Ends the program where a rule is broken; `what` says which.
[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "chaos: %s\n", what.c_str());
  std::abort();
}
inline void demand(bool holds, const char* what) {
  if (!holds) fail(what);
}

using Random = std::minstd_rand;
inline std::size_t below(Random& random, std::size_t bound) { return random() % bound; }
inline bool one_in(Random& random, std::size_t count) { return below(random, count) == 0; }

/// What a message carries: who published it, as his how manieth, and a checksum of all of it.
inline std::uint64_t checksum(std::string_view text) {
  std::uint64_t sum = 14695981039346656037u;
  for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return sum;
}
inline std::string make_payload(unsigned publisher, std::uint32_t number, std::size_t filler) {
  std::string text = std::to_string(publisher) + ' ' + std::to_string(number) + ' ' + std::string(filler, 'x');
  return text + ' ' + std::to_string(checksum(text));
}
/// The message's name among all: publisher and number. Fails where anything of it was changed.
inline std::uint64_t key_of(std::string_view payload) {
  const auto end = payload.rfind(' ');
  demand(end != payload.npos, "a payload is cut short");
  std::uint64_t sum = 0, publisher = 0, number = 0;
  std::from_chars(payload.data() + end + 1, payload.data() + payload.size(), sum);
  demand(sum == checksum(payload.substr(0, end)), "a payload was changed");
  const auto* at = std::from_chars(payload.data(), payload.data() + end, publisher).ptr;
  std::from_chars(at + 1, payload.data() + end, number);
  return publisher << 32 | number;
}

/// Which message has which offset in one channel, as the publishers learned it.
class Record {
 public:
  void add(std::uint64_t offset, std::uint64_t key) {
    const std::lock_guard guard(mutex_);
    if (keys_.size() <= offset) keys_.resize(offset + 1);
    keys_[offset] = key;
  }
  /// Once the publishers are done; offset 0 is nobody's.
  const std::vector<std::uint64_t>& keys() const { return keys_; }

 private:
  std::mutex mutex_;
  std::vector<std::uint64_t> keys_;
};

}  // namespace downlink::chaos
