#include "relay/settings_pool.h"

#include <memory>
#include <vector>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

TunnelSettings with_buffer(std::size_t bytes) {
  TunnelSettings settings;
  settings.buffer_bytes_max = bytes;
  return settings;
}

TEST_CASE("tunnels with the same settings share one copy", "[relay]") {
  SettingsPool pool;
  const auto first = pool.share(with_buffer(1000));
  CHECK(*first == with_buffer(1000));
  CHECK(pool.share(with_buffer(1000)) == first);
  CHECK(pool.share(with_buffer(2000)) != first);
}

TEST_CASE("settings that nobody uses any more are not kept without end", "[relay]") {
  SettingsPool pool;
  const auto used = pool.share(with_buffer(1));
  const std::weak_ptr<const TunnelSettings> unused = pool.share(with_buffer(2));
  for (std::size_t bytes = 3; bytes < 200; ++bytes) pool.share(with_buffer(bytes));
  CHECK(unused.expired());
  CHECK(pool.share(with_buffer(1)) == used);
}

}  // namespace
}  // namespace wsbalance::relay
