#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "downlink/misuse.hpp"
#include "downlink/wire/query.hpp"

namespace downlink {

/// What a route's `{name}` segments stand for in one request: name and percent-decoded value, in the path's order. The
/// values need not be UTF-8 and may hold any byte, `/` and NUL too: check before use.
class RouteParameters {
 public:
  /// The value of the parameter of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept {
    const auto found = std::find_if(values_.begin(), values_.end(), [name](const auto& v) { return v.first == name; });
    return found == values_.end() ? std::nullopt : std::optional<std::string_view>{found->second};
  }

  /// The first pair of name and value.
  auto begin() const noexcept { return values_.begin(); }
  /// Behind the last one.
  auto end() const noexcept { return values_.end(); }
  /// How many there are.
  std::size_t size() const noexcept { return values_.size(); }
  /// Whether there are none.
  bool empty() const noexcept { return values_.empty(); }

 private:
  friend class Pattern;
  std::vector<std::pair<std::string, std::string>> values_;
};

/// Whether a path is a pattern's.
enum class PatternMatch : unsigned char {
  /// It is not.
  no,
  /// It is.
  yes,
  /// It would be, but what stands for a parameter has a `%` without two hexadecimal digits after it: 400.
  malformed,
};

/// A route's path, such as `/channels/{name}/events`. A segment in braces is a parameter and stands for any one
/// segment, an empty one too. The others are compared after percent-decoding (RFC 3986 §6.2.2.2) and in their case; a
/// `%2F` is part of its segment. Immutable, so safe from any thread.
class Pattern {
 public:
  /// Throws `std::invalid_argument` with a sentence for a text that is no pattern.
  explicit Pattern(std::string_view text) : text_(text) {
    if (!text.starts_with('/')) fail("must begin with '/'");
    if (text.find_first_of("?#") != text.npos) fail("must not have '?' or '#'");
    for_each_segment(text, [this](std::string_view segment) {
      add_segment(segment);
      return true;
    });
  }

  /// The pattern as it was given.
  const std::string& text() const noexcept { return text_; }

  /// Whether a request's path, as it came, is this pattern's; `parameters` holds what its parameters stand for then,
  /// and nothing else otherwise.
  PatternMatch match(std::string_view path, RouteParameters& parameters) const {
    parameters.values_.clear();
    std::size_t index = 0;
    bool malformed = false;
    const bool matched = path.starts_with('/') && for_each_segment(path, [&](std::string_view segment) {
                           if (index == segments_.size()) return false;
                           const auto& expected = segments_[index++];
                           if (!expected.parameter && segment == expected.text && segment.find('%') == segment.npos) {
                             return true;
                           }
                           auto decoded = wire::percent_decode_path(segment);
                           if (!expected.parameter) return decoded == expected.text;
                           malformed = malformed || !decoded;
                           parameters.values_.emplace_back(expected.text, std::move(decoded).value_or(std::string{}));
                           return true;
                         });
    const auto outcome = !matched || index != segments_.size() ? PatternMatch::no
                         : malformed                           ? PatternMatch::malformed
                                                               : PatternMatch::yes;
    if (outcome != PatternMatch::yes) parameters.values_.clear();
    return outcome;
  }

 private:
  struct Segment {
    bool parameter;
    std::string text;  // the parameter's name, or the decoded text
  };

  /// Calls `f` with each segment of a path that begins with '/', until it returns false; whether it never did.
  template <class F>
  static bool for_each_segment(std::string_view path, F&& f) {
    while (!path.empty()) {
      path.remove_prefix(1);
      const auto segment = path.substr(0, path.find('/'));
      if (!f(segment)) return false;
      path.remove_prefix(segment.size());
    }
    return true;
  }

  void add_segment(std::string_view segment) {
    if (segment.find_first_of("{}") == segment.npos) {
      auto decoded = wire::percent_decode_path(segment);
      if (!decoded) fail("has a '%' without two hexadecimal digits after it");
      segments_.push_back({false, std::move(*decoded)});
      return;
    }
    if (segment.size() < 2 || segment.front() != '{' || segment.back() != '}') {
      fail("must have each parameter as a whole segment in braces, like '/{name}'");
    }
    const auto name = segment.substr(1, segment.size() - 2);
    if (!is_name(name)) fail("must name each parameter by letters, digits and '_', not beginning with a digit");
    for (const auto& other : segments_) {
      if (other.parameter && other.text == name) fail("has two parameters of the same name");
    }
    segments_.push_back({true, std::string{name}});
  }

  static bool is_name(std::string_view name) noexcept {
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    return !name.empty() && letter(name.front()) &&
           std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
  }

  [[noreturn]] void fail(std::string_view what) const {
    detail::throw_invalid_argument("the route pattern '" + text_ + "' " + std::string{what});
  }

  std::string text_;
  std::vector<Segment> segments_;
};

}  // namespace downlink
