#include "balance/tries.h"

#include <algorithm>

namespace wsbalance::balance {

bool is_failure(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::answered:
    case Outcome::unreachable:
    case Outcome::unknown_name:
    case Outcome::no_tls:
    case Outcome::late:
    case Outcome::ended:
    case Outcome::broke_rules:
      return true;
    case Outcome::switched:
    case Outcome::full:
    case Outcome::unusable:
    case Outcome::client_gone:
    case Outcome::own_fault:
      break;
  }
  return false;
}

bool is_try(Outcome outcome) noexcept {
  return outcome != Outcome::full && outcome != Outcome::unusable;
}

bool puts_in_error(Outcome outcome) noexcept {
  return outcome == Outcome::unreachable || outcome == Outcome::unknown_name ||
         outcome == Outcome::no_tls || outcome == Outcome::ended;
}

StatusList default_retry_statuses() {
  StatusList list;
  for (const int status : {502, 503, 504}) list.add(status);
  return list;
}

bool is_to_retry(Outcome outcome, int status, const StatusList& retry_on) noexcept {
  if (outcome == Outcome::answered) return retry_on.has(status);
  return is_failure(outcome) || !is_try(outcome);
}

unsigned tries_for_attempts(int attempts_max) noexcept {
  return static_cast<unsigned>(std::max(attempts_max, 0)) + 1;
}

std::optional<std::chrono::milliseconds> time_for_try(const TryLimits& limits, unsigned made,
                                                      std::chrono::milliseconds elapsed,
                                                      std::chrono::milliseconds each) noexcept {
  if (made >= limits.tries || elapsed >= limits.time) return std::nullopt;
  return std::min(each, limits.time - elapsed);
}

}  // namespace wsbalance::balance
