#pragma once

namespace downlink::detail {

/// A place in an intrusive list; unlinks itself when it is destroyed. A node is in at most one list.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool linked() const { return next_ != this; }
  void unlink() {
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = this;
  }

 private:
  template <class T>
  friend class List;

  ListNode* next_ = this;
  ListNode* previous_ = this;
};

/// An intrusive doubly linked list of `T`, which derives from `ListNode`. Owns nothing. Every operation is O(1), and
/// any node may leave at any time: whoever walks a list takes its front until it is empty.
template <class T>
class List {
 public:
  bool empty() const { return !sentinel_.linked(); }
  T& front() { return static_cast<T&>(*sentinel_.next_); }

  /// Moves the node here, out of whatever list it is in.
  void push_back(T& item) {
    ListNode& node = item;
    node.unlink();
    node.previous_ = sentinel_.previous_;
    node.next_ = &sentinel_;
    sentinel_.previous_->next_ = &node;
    sentinel_.previous_ = &node;
  }

  /// Moves all of `other`'s nodes to the end of this list.
  void take_all(List& other) {
    if (other.empty()) return;
    ListNode* first = other.sentinel_.next_;
    ListNode* last = other.sentinel_.previous_;
    other.sentinel_.next_ = other.sentinel_.previous_ = &other.sentinel_;
    first->previous_ = sentinel_.previous_;
    sentinel_.previous_->next_ = first;
    last->next_ = &sentinel_;
    sentinel_.previous_ = last;
  }

 private:
  ListNode sentinel_;
};

}  // namespace downlink::detail
