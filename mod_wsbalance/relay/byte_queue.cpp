#include "relay/byte_queue.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>

namespace wsbalance::relay {
namespace {

constexpr std::size_t kCapacityMin = 4096;

}  // namespace

bool ByteQueue::append(std::span<const std::byte> data, std::size_t capacity_wanted) noexcept {
  if (data.empty()) return true;
  if (data.size() > kCapacityMax - size_) return false;

  const std::size_t needed = size_ + data.size();
  if (head_ + needed > capacity_) {
    move_to_front();
    if (needed > capacity_) {
      const std::size_t generous = std::max(std::bit_ceil(needed), kCapacityMin);
      if (!reallocate(std::max(needed, std::min(generous, capacity_wanted)))) return false;
    }
  }
  std::memcpy(data_ + head_ + size_, data.data(), data.size());
  size_ = static_cast<std::uint32_t>(needed);
  return true;
}

void ByteQueue::consume(std::size_t count) noexcept {
  assert(count <= size_);
  head_ += static_cast<std::uint32_t>(count);
  size_ -= static_cast<std::uint32_t>(count);
  if (size_ == 0) release();
}

void ByteQueue::shrink() noexcept {
  if (size_ == 0) return release();
  const std::size_t enough = std::max(std::bit_ceil(std::size_t{size_}), kCapacityMin);
  if (enough > capacity_ / 2) return;
  move_to_front();
  // A refusal leaves all as it is.
  (void)reallocate(enough);
}

void ByteQueue::release() noexcept {
  std::free(data_);
  data_ = nullptr;
  capacity_ = head_ = size_ = 0;
}

// The bytes stand at the front already.
bool ByteQueue::reallocate(std::size_t capacity) noexcept {
  assert(head_ == 0 && capacity >= size_);
  if (capacity > kCapacityMax) return false;
  void* data = std::realloc(data_, capacity);
  if (data == nullptr) return false;
  data_ = static_cast<std::byte*>(data);
  capacity_ = static_cast<std::uint32_t>(capacity);
  return true;
}

void ByteQueue::move_to_front() noexcept {
  if (head_ == 0) return;
  std::memmove(data_, data_ + head_, size_);
  head_ = 0;
}

}  // namespace wsbalance::relay
