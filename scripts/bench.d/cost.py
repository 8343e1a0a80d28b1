"""Runs wsload and adds up what it cost a proxy; prints one line of JSON.

    cost.py --peer NAME --cell NAME --round N --proxy PID --member PID --seconds S wsload talk ...

For `talk` from some time after all tunnels are open on, for S seconds; for `rate` all of it; for
`tunnels` the memory while they are held. CPU and memory are those of the whole tree of processes of
the proxy. What the kernel keeps for sockets is not in it: it is the same for all, two a tunnel.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


def parents():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    found[int(name)] = int(stat.read().rsplit(") ", 1)[1].split()[1])
            except OSError:
                pass
    return found


def tree(root):
    all_parents = parents()
    found = {root}
    while True:
        more = {pid for pid, parent in all_parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu(root):
    """Seconds: of live threads by the scheduler's clock, of children that have ended in ticks."""
    total = 0.0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(") ", 1)[1].split()
            total += (int(fields[13]) + int(fields[14])) * TICK
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as times:
                    total += int(times.read().split()[0]) / 1e9
        except OSError:
            pass
    return total


def pss(root):
    kib = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            pass
    return kib


def machine():
    """Seconds that all cores were busy, and that they had."""
    with open("/proc/stat") as stat:
        times = [int(word) * TICK for word in stat.readline().split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


class Reading:
    """Everything at one moment; reading it takes some milliseconds itself."""

    def __init__(self, proxy, others):
        began = time.monotonic()
        self.proxy = cpu(proxy)
        self.time = (began + time.monotonic()) / 2
        self.ours = self.proxy + sum(cpu(pid) for pid in others) + time.process_time()
        self.busy, self.all = machine()

    def since(self, before):
        had = self.all - before.all
        others = (self.busy - before.busy) - (self.ours - before.ours)
        return {"cpu_s": self.proxy - before.proxy, "seconds": self.time - before.time,
                "others": max(0, others / had) if had else 0}


def values(line):
    return {key: float(value) for key, value in (pair.split("=") for pair in line.split())}


def measure(args, load, before, pss_before):
    """What the line of JSON has."""
    result = {"peer": args.peer, "cell": args.cell, "round": args.round}
    mode = args.command[1]

    def reading():
        return Reading(args.proxy, [args.member, load.pid])

    first = reading()
    if mode == "rate":
        line = load.stdout.readline()
        time.sleep(0.3)  # The ends of the last tunnels.
        told = values(line)
        result.update(reading().since(first), count=told["status_101"],
                      failed=told["others"] + told["no_answer"])
        result["cost"] = 1e6 * (cpu(args.proxy) - before) / max(1, told["status_101"])
        result["p99_ms"] = told["p99_ms"]
    elif mode == "tunnels":
        opened = values(load.stdout.readline())["open"]
        wanted = float(args.command[args.command.index("--count") + 1])
        time.sleep(1)
        result.update(count=opened, cost=(pss(args.proxy) - pss_before) / max(1, opened))
        end = values(load.stdout.readline())
        result["failed"] = wanted - opened + end["wrong"] + end["lost"]
    else:
        missing = float(args.command[args.command.index("--count") + 1])
        missing -= values(load.stdout.readline())["open"]
        time.sleep(0.5)
        load.send_signal(signal.SIGUSR1)
        load.stdout.readline()
        first = reading()
        time.sleep(args.seconds)
        last = reading()
        load.send_signal(signal.SIGUSR1)
        told = values(load.stdout.readline())
        load.send_signal(signal.SIGTERM)
        end = values(load.stdout.readline())
        # Each by its own clock: what a second of it costs, by what a second of it does.
        messages = 2 * told["echoed"] / told["seconds"]
        size = args.command[args.command.index("--size") + 1] if "--size" in args.command else 0
        unit = messages * int(size) / 1e6 if size else messages
        result.update(last.since(first), count=messages, p50_ms=told["p50_ms"],
                      failed=missing + sum(part[what] for part in (told, end) for what in
                                           ("dropped", "sent_away", "wrong", "lost", "refused")))
        result["cost"] = 1e6 * result["cpu_s"] / result["seconds"] / max(1e-9, unit)
    return result


def main():
    parser = argparse.ArgumentParser()
    for name in ("--peer", "--cell"):
        parser.add_argument(name, required=True)
    for name in ("--round", "--proxy", "--member", "--seconds"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    pss_before = pss(args.proxy) if args.command[1] == "tunnels" else 0
    before = cpu(args.proxy)
    load = subprocess.Popen(args.command, stdout=subprocess.PIPE, text=True)
    try:
        result = measure(args, load, before, pss_before)
        load.communicate()
    finally:
        load.kill()
        load.wait()
    print(json.dumps(result))
    return load.returncode


sys.exit(main())
