#pragma once

#include <cctype>
#include <cstddef>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

namespace downlink::testing {

/// Metrics in Prometheus' text format 0.0.4, held to the letter: what it does not allow throws `std::runtime_error`.
/// Stricter than the format where convention is: each family has its help and its type, and a counter's name ends in
/// `_total`.
class PrometheusText {
 public:
  explicit PrometheusText(std::string_view text) {
    if (!text.ends_with('\n')) fail("the last line does not end", {});
    while (!text.empty()) {
      const auto end = text.find('\n');
      const auto line = text.substr(0, end);
      text.remove_prefix(end + 1);
      line.starts_with('#') ? take_comment(line) : take_sample(line);
    }
    for (const auto& [name, type] : types_) {
      if (!sampled_.contains(name)) fail("a family without samples", name);
    }
  }

  /// The value of a sample by its name and labels as they stand, such as `a_total{code="400"}`. Throws without one.
  double operator[](const std::string& sample) const {
    const auto found = samples_.find(sample);
    if (found == samples_.end()) fail("no sample", sample);
    return found->second;
  }
  bool has(const std::string& sample) const { return samples_.contains(sample); }
  const std::map<std::string, double>& samples() const { return samples_; }
  const std::map<std::string, std::string>& types() const { return types_; }

 private:
  [[noreturn]] static void fail(std::string_view what, std::string_view where) {
    throw std::runtime_error(std::string(what) + ": " + std::string(where));
  }

  static std::string take_name(std::string_view& rest, bool label) {
    std::size_t size = 0;
    for (; size < rest.size(); ++size) {
      const auto c = static_cast<unsigned char>(rest[size]);
      const bool digit = std::isdigit(c) != 0;
      if (!std::isalpha(c) && c != '_' && !(c == ':' && !label) && !(digit && size > 0)) break;
    }
    if (size == 0) fail("no name", rest);
    const std::string name(rest.substr(0, size));
    rest.remove_prefix(size);
    return name;
  }
  static void take(std::string_view& rest, std::string_view token) {
    if (!rest.starts_with(token)) fail("no " + std::string(token), rest);
    rest.remove_prefix(token.size());
  }

  void take_comment(std::string_view line) {
    const std::string_view whole = line;
    const bool help = line.starts_with("# HELP ");
    take(line, help ? "# HELP " : "# TYPE ");
    const auto name = take_name(line, false);
    take(line, " ");
    if (help) {
      if (line.empty()) fail("no help", whole);
      for (std::size_t at = line.find('\\'); at != line.npos; at = line.find('\\', at + 2)) {
        if (at + 1 == line.size() || (line[at + 1] != '\\' && line[at + 1] != 'n')) fail("a bad escape", whole);
      }
      if (types_.contains(name) || name == helped_) fail("a family's second help", whole);
      helped_ = name;
      return;
    }
    if (line != "counter" && line != "gauge") fail("no type that is expected here", whole);
    if (!types_.emplace(name, line).second) fail("a family's second type", whole);
    if (helped_ != name) fail("a type without its help before it", whole);
    if ((line == "counter") != name.ends_with("_total")) fail("a counter's name ends in _total, no other's", whole);
    family_ = name;
  }

  void take_sample(std::string_view line) {
    const std::string_view whole = line;
    const auto name = take_name(line, false);
    if (name != family_) fail("a sample outside its family", whole);
    std::set<std::string> labels;
    if (line.starts_with('{')) {
      char before = '{';
      while (!line.starts_with('}')) {
        take(line, std::string_view(&before, 1));
        before = ',';
        const auto label = take_name(line, true);
        if (label.starts_with("__") || !labels.insert(label).second) fail("a label that may not be", whole);
        take(line, "=\"");
        while (!line.starts_with('"')) {
          const bool escape = line.starts_with('\\');
          if (line.size() < 2 || (escape && line[1] != '\\' && line[1] != '"' && line[1] != 'n')) {
            fail("a bad label value", whole);
          }
          line.remove_prefix(escape ? 2 : 1);
        }
        take(line, "\"");
      }
      take(line, "}");
    }
    const std::string key(whole.substr(0, whole.size() - line.size()));
    take(line, " ");
    std::size_t used = 0;
    const std::string number(line);
    const double value = std::stod(number, &used);
    if (used != number.size() || !(std::isdigit(static_cast<unsigned char>(number[0])) || number[0] == '-')) {
      fail("no value", whole);
    }
    if (types_[name] == "counter" && !(value >= 0)) fail("a counter below zero", whole);
    if (!samples_.emplace(key, value).second) fail("a sample twice", whole);
    sampled_.insert(name);
  }

  std::map<std::string, double> samples_;
  std::map<std::string, std::string> types_;
  std::set<std::string> sampled_;
  std::string family_;
  std::string helped_;
};

}  // namespace downlink::testing
