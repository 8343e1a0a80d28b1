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


def _stat(pid):
    """The fields of /proc/<pid>/stat from the state on."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def children(pid):
    """The child processes of this one, zombies too."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def session(pid):
    return int(_stat(pid)[3])


def signal_set(pid, name):
    """The numbers of signals in a set of /proc/<pid>/status: SigBlk, SigIgn, SigCgt."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        found = re.search(rf"^{name}:\s+([0-9a-f]+)$", file.read(), re.MULTILINE)
    bits = int(found[1], 16)
    return {number for number in range(1, 65) if bits >> (number - 1) & 1}


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


def name(pid):
    """What the process calls itself (comm); "" if it has ended."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def title(pid):
    """The command line of a process, as ps shows it."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").replace(b"\0", b" ").decode()


def is_alive(pid):
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def cpu_seconds(pid):
    """The CPU time that a process has used, user and system."""
    fields = _stat(pid)
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
