// settings_pool.h - one copy of settings for all tunnels that have the same.
//
// Layer:    relay.
// Owns:     a reference to each; a tunnel has another.
// Threads:  any.
// Errors:   std::bad_alloc.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class SettingsPool {
 public:
  std::shared_ptr<const TunnelSettings> share(const TunnelSettings& settings) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(shared_.begin(), shared_.end(),
                                    [&settings](const auto& other) { return *other == settings; });
    if (found != shared_.end()) return *found;
    // A configuration has few that differ; where there are many, those in use are enough.
    if (shared_.size() >= kUnusedMax) {
      std::erase_if(shared_, [](const auto& other) { return other.use_count() == 1; });
    }
    return shared_.emplace_back(std::make_shared<const TunnelSettings>(settings));
  }

 private:
  static constexpr std::size_t kUnusedMax = 64;

  std::mutex mutex_;
  std::vector<std::shared_ptr<const TunnelSettings>> shared_;
};

}  // namespace wsbalance::relay
