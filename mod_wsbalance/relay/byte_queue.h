// byte_queue.h - bytes in order, in one piece of memory; none at all while it is empty.
//
// Layer:    relay.
// Owns:     its memory.
// Threads:  one at a time.
// Errors:   false where memory was refused; nothing throws, nothing is lost then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wsbalance::relay {

class ByteQueue {
 public:
  // No queue grows beyond this, whatever is configured.
  static constexpr std::size_t kCapacityMax = std::size_t{1} << 30;

  ByteQueue() = default;
  ~ByteQueue() { release(); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  bool is_empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }  // What it holds of memory, in bytes.

  // The oldest bytes first. Valid until the next call that is not const.
  std::span<const std::byte> bytes() const noexcept { return {data_ + head_, size_}; }

  // Where it has to grow it takes more than it needs at once, but not beyond `capacity_wanted`
  // unless `data` needs that.
  [[nodiscard]] bool append(std::span<const std::byte> data, std::size_t capacity_wanted) noexcept;

  // Drops the oldest `count` bytes, at most size(). Gives the memory back when none is left.
  void consume(std::size_t count) noexcept;

  // Gives memory back where most of it is unused.
  void shrink() noexcept;

  // Drops everything.
  void release() noexcept;

 private:
  bool reallocate(std::size_t capacity) noexcept;
  void move_to_front() noexcept;

  std::byte* data_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace wsbalance::relay
