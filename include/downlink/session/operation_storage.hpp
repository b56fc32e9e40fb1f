#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace downlink::detail {

/// Room for one pending operation, so that starting it allocates nothing. Falls back to the heap while it is in use,
/// or for what does not fit.
template <std::size_t Size>
class OperationStorage {
 public:
  void* allocate(std::size_t size) {
    if (size <= Size && !in_use_.exchange(true, std::memory_order_acquire)) return bytes_;
    return ::operator new(size);
  }
  void deallocate(void* pointer) {
    if (pointer == bytes_) return in_use_.store(false, std::memory_order_release);
    ::operator delete(pointer);
  }

 private:
  alignas(std::uint64_t) std::byte bytes_[Size];
  std::atomic<bool> in_use_{false};
};

/// The associated allocator of a handler whose operation lives in a storage.
template <class T, std::size_t Size>
class StorageAllocator {
 public:
  using value_type = T;
  template <class U>
  struct rebind {
    using other = StorageAllocator<U, Size>;
  };

  explicit StorageAllocator(OperationStorage<Size>& storage) : storage_(&storage) {}
  template <class U>
  StorageAllocator(const StorageAllocator<U, Size>& other) : storage_(other.storage_) {}

  T* allocate(std::size_t count) {
    static_assert(alignof(T) <= alignof(std::uint64_t));
    return static_cast<T*>(storage_->allocate(sizeof(T) * count));
  }
  void deallocate(T* pointer, std::size_t) { storage_->deallocate(pointer); }

  template <class U>
  friend bool operator==(const StorageAllocator& a, const StorageAllocator<U, Size>& b) {
    return a.storage_ == b.storage_;
  }

 private:
  template <class, std::size_t>
  friend class StorageAllocator;
  OperationStorage<Size>* storage_;
};

}  // namespace downlink::detail
