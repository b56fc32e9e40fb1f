#pragma once

#include <utility>

namespace downlink::detail {

class Connection;

/// Holds a connection alive; counted atomically, because operations are destroyed on any thread.
class ConnectionRef {
 public:
  ConnectionRef() = default;
  explicit ConnectionRef(Connection* connection);
  ConnectionRef(const ConnectionRef& other) : ConnectionRef(other.connection_) {}
  ConnectionRef(ConnectionRef&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  ConnectionRef& operator=(ConnectionRef other) noexcept {
    std::swap(connection_, other.connection_);
    return *this;
  }
  ~ConnectionRef();
  Connection* operator->() const { return connection_; }
  explicit operator bool() const { return connection_ != nullptr; }

 private:
  Connection* connection_ = nullptr;
};

}  // namespace downlink::detail
