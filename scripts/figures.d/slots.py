"""Looks at a private httpd until SIGTERM: whose its slots are, and its carriers.

    slots.py <port> <pid of httpd> <path of the module>

Five times a second it asks server-status which process holds which slot of the scoreboard, and
counts carriers; every few seconds it adds up their memory (PSS: what is shared counts by parts).
Prints one line of key=value pairs.
"""

import glob
import re
import signal
import sys
import time
import urllib.request

PORT, HTTPD, MODULE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

# Event and worker: "<td>slot</td><td>pid</td><td>yes (old gen)</td>" in the table of processes.
OF_PROCESSES = re.compile(r"<tr><td>(\d+)</td><td>(\d+)</td>\s*<td>(?:yes|no)( \(old gen\))?")
# Prefork: "<b>slot-generation</b></td><td>pid</td>" in the table of workers.
OF_WORKERS = re.compile(r"<b>(\d+)-(\d+)</b></td><td>(\d+)</td>")
GENERATION = re.compile(r"MPM Generation: (\d+)")


def old_slots(page):
    """(slot, pid) of those that a process of an older generation holds."""
    if OF_PROCESSES.search(page):
        return {m.group(1, 2) for m in OF_PROCESSES.finditer(page) if m.group(3)}
    now = GENERATION.search(page)
    return {m.group(1, 3) for m in OF_WORKERS.finditer(page) if now and m.group(2) != now.group(1)}


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # It has ended meanwhile.
        return ""


class Carriers:
    """The carriers of this httpd: others may run on the same machine."""

    def __init__(self):
        self.others = set()
        self.ours = set()

    def pids(self):
        there = {int(p.split("/")[2]) for p in glob.glob("/proc/[0-9]*/comm")}
        self.others &= there
        self.ours &= there
        for pid in there - self.others - self.ours:
            if read(f"/proc/{pid}/comm") == "wsb-carrier\n":
                (self.ours if MODULE in read(f"/proc/{pid}/maps") else self.others).add(pid)
        return self.ours

    def pss_kb(self):
        rollups = [read(f"/proc/{pid}/smaps_rollup") for pid in self.ours]
        found = [re.search(r"^Pss: +(\d+)", text, re.M) for text in rollups]
        return sum(int(m.group(1)) for m in found if m)


def main():
    told_to_end = []
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.append(1))
    carriers = Carriers()
    since = {}  # Of an old slot: when it was first seen.
    longest = most = most_kb = kb_at_most = last = failed = looks = 0
    turn = 0
    while not told_to_end:
        time.sleep(0.2)
        turn += 1
        looks += 1
        try:
            url = f"http://127.0.0.1:{PORT}/server-status"
            with urllib.request.urlopen(url, timeout=5) as answer:
                old = old_slots(answer.read().decode())
        except OSError:
            failed += 1
            continue
        now = time.monotonic()
        since = {slot: since.get(slot, now) for slot in old}
        longest = max([longest] + [now - begun for begun in since.values()])
        last = len(carriers.pids())
        most = max(most, last)
        if turn % 15 == 0:
            kb = carriers.pss_kb()
            if kb > most_kb:
                most_kb, kb_at_most = kb, last
    print(
        f"looks={looks} failed={failed} old_slot_s={longest:.1f} old_now={len(since)} "
        f"carriers={most} carriers_now={last} pss_kb={most_kb} pss_of={kb_at_most}"
    )


main()
