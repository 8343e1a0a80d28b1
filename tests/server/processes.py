"""What /proc tells about the processes of a server."""

import os
import re


def pids_with_environment(entry):
    """All living processes in whose environment `NAME=value` stands, children that lost their
    parent among them. Zombies have no environment and do not count."""
    wanted = entry.encode()
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.add(int(name))
        except OSError:
            pass  # Ended meanwhile, or not ours to look into.
    return found


def open_descriptors(pid):
    """The open descriptors of a process as {number: what it is}."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            pass  # Closed meanwhile.
    return found


def sockets(pid):
    """The inodes of the sockets of a process."""
    matches = (re.fullmatch(r"socket:\[(\d+)\]", what) for what in open_descriptors(pid).values())
    return {match[1] for match in matches if match}


def listens(pid):
    """True when the process can accept connections of TCP over IPv4."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in list(file)[1:]]
    listening = {row[9] for row in rows if row[3] == "0A"}
    try:
        return not listening.isdisjoint(sockets(pid))
    except OSError:
        return False  # Ended meanwhile.


def resident_kb(pid):
    """The resident memory of a process in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid):
    """The CPU time that a process has used, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def activity(pid):
    """What changes whenever a thread of the process does anything; None while one is running."""
    switches = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("State:") and line.split()[1] not in "SDI":
                    return None
                if "ctxt_switches:" in line:
                    switches.append((task, line.split()[1]))
    return switches
