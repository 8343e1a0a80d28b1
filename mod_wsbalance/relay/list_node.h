// list_node.h - a link of an intrusive ring: lists that never allocate.
//
// Layer:    relay.
// Owns:     nothing; whoever holds the node keeps it alive, and its end takes it out of its ring.
// Threads:  one at a time for all nodes of a ring.
#pragma once

namespace wsbalance::relay {

// The head of a list is a node too. A node by itself is a ring of one.
class ListNode {
 public:
  ListNode() noexcept : prev_(this), next_(this) {}
  ~ListNode() { unlink(); }
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool is_linked() const noexcept { return next_ != this; }
  ListNode* next() const noexcept { return next_; }

  void unlink() noexcept {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

  // Puts `node`, which is in no ring, at the end of the list that this heads.
  void push_back(ListNode& node) noexcept {
    node.prev_ = prev_;
    node.next_ = this;
    prev_->next_ = &node;
    prev_ = &node;
  }

  // Moves all nodes of the list that `other` heads to the end of the list that this heads.
  void take_all(ListNode& other) noexcept {
    if (!other.is_linked()) return;
    prev_->next_ = other.next_;
    other.next_->prev_ = prev_;
    other.prev_->next_ = this;
    prev_ = other.prev_;
    other.prev_ = other.next_ = &other;
  }

 private:
  ListNode* prev_;
  ListNode* next_;
};

}  // namespace wsbalance::relay
