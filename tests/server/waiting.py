"""Waiting for a condition, always with a deadline."""

import os
import time

# Sanitizers make httpd some times slower; every deadline is stretched by this.
SLOWNESS = 4.0 if os.environ.get("WSB_LD_PRELOAD") else 1.0


def wait_until(condition, seconds=10.0, what="the condition"):
    """Asks `condition` again and again until its answer is true, and returns that answer.

    Fails after `seconds`, with a last look behind them: this process may have had no time to look.
    """
    end = time.monotonic() + seconds * SLOWNESS
    pause = 0.002
    while True:
        is_last = time.monotonic() > end
        answer = condition()
        if answer:
            return answer
        if is_last:
            raise AssertionError(f"waited {seconds * SLOWNESS:.0f} s in vain for {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def stays(condition, seconds):
    """True when `condition` holds at every look during `seconds` (for proofs of absence)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.01)
    return bool(condition())
