#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <random>
#include <string>
#include <string_view>

#include <downlink/wire/request_parser.hpp>

#include "support/catch.hpp"

namespace downlink::testing {

/// What came of a connection's bytes, as text: each request, and how it ended.
inline std::string read_all(std::string_view bytes, const RequestLimits& limits,
                            const std::function<std::size_t()>& piece) {
  using State = wire::RequestParser::State;
  wire::RequestParser parser{limits};
  std::string log;
  std::size_t used = 0;
  std::size_t came = 0;
  while (true) {
    const auto before = parser.state();
    const std::size_t taken = parser.feed(bytes.substr(used, came - used));
    used += taken;
    if (before == State::head && parser.state() == State::head_complete) {
      const auto& head = parser.head();
      log += std::string{head.method()} + " " + std::string{head.target()} + " 1." +
             std::to_string(head.minor_version()) + "\n";
      for (const auto field : head.headers()) {
        log += std::string{field.name} + "=" + std::string{field.value} + "\n";
      }
    }
    if (parser.state() == State::complete) {
      log += "body[" + parser.body() + "]\n";
      parser.reset(parser.take_head());
    } else if (parser.state() == State::failed) {
      CHECK(parser.feed("GET") == 0);
      CHECK(parser.refusal().close);
      CHECK_FALSE(parser.refusal().detail.empty());
      return log + std::to_string(parser.refusal().status);
    } else if (taken == 0 && before == parser.state()) {
      if (came == bytes.size()) return log + (parser.started() ? "unfinished" : "idle");
      came += std::min(piece(), bytes.size() - came);
    }
  }
}

/// The same for the bytes as a whole, one by one and in random pieces, which must not matter.
inline std::string read(std::string_view bytes, const RequestLimits& limits = {}) {
  const auto whole = read_all(bytes, limits, [&] { return bytes.size(); });
  CHECK(read_all(bytes, limits, [] { return std::size_t{1}; }) == whole);
  std::mt19937 random{static_cast<unsigned>(bytes.size())};
  for (int i = 0; i < 5; ++i) {
    CHECK(read_all(bytes, limits, [&] { return std::size_t{1} + random() % 40; }) == whole);
  }
  return whole;
}

}  // namespace downlink::testing
