#include "relay/time_source.h"

namespace wsbalance::relay {

// The only place of the relay that asks what time it is.
Clock::time_point SteadyTime::now() const noexcept { return Clock::now(); }

}  // namespace wsbalance::relay
