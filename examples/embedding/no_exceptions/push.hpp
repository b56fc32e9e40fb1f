#pragma once

#include <cstdint>
#include <memory>
#include <string>

/// What an application without exceptions sees of the library: values in, values out.
class Push {
 public:
  Push();
  ~Push();

  /// Listens at this port, 0 for any free one, and serves from a thread of its own. What went wrong, or empty.
  std::string start(std::uint16_t port) noexcept;
  std::uint16_t port() const noexcept;
  /// Publishes; false where it could not.
  bool publish(std::string text) noexcept;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};
