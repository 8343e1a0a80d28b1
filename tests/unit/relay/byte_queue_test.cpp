#include "relay/byte_queue.h"

#include <random>
#include <string>

#include "support/catch.h"
#include "unit/relay/peer.h"

namespace wsbalance::relay {
namespace {

std::string text_of(const ByteQueue& queue) {
  return {reinterpret_cast<const char*>(queue.bytes().data()), queue.size()};
}

TEST_CASE("a queue without bytes holds no memory", "[relay]") {
  ByteQueue queue;
  CHECK(queue.capacity() == 0);
  REQUIRE(queue.append(as_bytes("abc"), 100));
  CHECK(queue.capacity() >= 3);
  queue.consume(3);
  CHECK(queue.is_empty());
  CHECK(queue.capacity() == 0);
}

TEST_CASE("bytes leave a queue in the order in which they came", "[relay]") {
  const std::string data = pattern(300'000);
  std::mt19937 random(7);
  ByteQueue queue;
  std::string out;
  std::size_t in = 0;
  while (out.size() < data.size()) {
    const std::size_t piece = std::min<std::size_t>(random() % 9000, data.size() - in);
    REQUIRE(queue.append(as_bytes(data).subspan(in, piece), 65536));
    in += piece;
    const std::size_t taken = std::min<std::size_t>(random() % 9000, queue.size());
    out += text_of(queue).substr(0, taken);
    queue.consume(taken);
    if (random() % 4 == 0) queue.shrink();
    CHECK(out.size() + queue.size() == in);
  }
  CHECK(out == data);
}

TEST_CASE("a queue takes no more memory than is wanted unless it is needed", "[relay]") {
  ByteQueue queue;
  REQUIRE(queue.append(as_bytes(pattern(5000)), 6000));
  CHECK(queue.capacity() == 6000);
  REQUIRE(queue.append(as_bytes(pattern(2000)), 6000));
  CHECK(queue.capacity() == 7000);
  CHECK(text_of(queue) == pattern(5000) + pattern(2000));
}

TEST_CASE("room in front is used again before more memory is taken", "[relay]") {
  ByteQueue queue;
  REQUIRE(queue.append(as_bytes(pattern(8000)), 8192));
  queue.consume(6000);
  REQUIRE(queue.append(as_bytes(pattern(6000, 2)), 8192));
  CHECK(queue.capacity() == 8192);
  CHECK(text_of(queue) == pattern(8000).substr(6000) + pattern(6000, 2));
}

TEST_CASE("shrinking keeps the bytes and gives back what is unused", "[relay]") {
  ByteQueue queue;
  REQUIRE(queue.append(as_bytes(pattern(100'000)), 131072));
  queue.consume(95'000);
  queue.shrink();
  CHECK(queue.capacity() == 8192);
  CHECK(text_of(queue) == pattern(100'000).substr(95'000));
}

TEST_CASE("what no queue may hold is refused, and what it has stays", "[relay]") {
  ByteQueue queue;
  REQUIRE(queue.append(as_bytes("abc"), 100));
  // Not read: the size is judged first.
  const std::byte one{};
  CHECK_FALSE(queue.append({&one, ByteQueue::kCapacityMax}, 100));
  CHECK(text_of(queue) == "abc");
}

}  // namespace
}  // namespace wsbalance::relay
