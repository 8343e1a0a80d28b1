"""The error log of a server: what a test announced, and what nobody did.

Every test that uses a server ends with `problems()`, called by conftest.py. A crash is always a
problem. A line at warning or above, or one that is no log line at all, is a problem unless the
test announced it with `expect()` (it must come) or `allow()` (it may come).
"""

import re

from waiting import wait_until

LEVELS = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"]
LEVELS += [f"trace{n}" for n in range(1, 9)]

LINE = re.compile(r"^\[[^\]]+\] \[(?P<module>[\w-]*):(?P<level>\w+)\] ")
CRASH = re.compile(
    r"exit signal|AH0005[12]\b|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:"
    r"|Assertion .* failed|terminate called|pure virtual")

# About the machine, which no test can change: libssl is older than the one mod_ssl was built with;
# all workers were busy for a moment, because each request takes long on a busy machine; a program of
# a log, which httpd forgets when it reads its configuration again, ended behind that.
MACHINE = re.compile(r"AH(01882|00161|00286|00484|00167|00488):")


def _matcher(pattern):
    """A log number such as WSB0121 stands for itself; anything else is a regular expression."""
    if re.fullmatch(r"(WSB|AH)\d+", pattern):
        pattern = pattern + r":"
    return re.compile(pattern)


def level_of(line):
    """The level of a log line, or None when it is not one."""
    match = LINE.match(line)
    return match["level"] if match and match["level"] in LEVELS else None


def is_at_least(level, limit):
    return LEVELS.index(level) <= LEVELS.index(limit)


class ErrorLog:
    """The files that a server writes its complaints to, read from a mark on."""

    def __init__(self, *paths, patience=10, tolerated=()):
        self._paths, self._patience = paths, patience
        self._marks = {path: 0 for path in paths}
        self._expected = []
        self._allowed = []
        self._exit_signals = []
        self._tolerated = [_matcher(pattern) for pattern in tolerated]

    def mark(self):
        """Forgets what was written and announced before: a test begins. A line of which only a part
        is there yet belongs to what comes."""
        for path in self._paths:
            self._marks[path] += self._read(path).rfind(b"\n") + 1
        self._expected, self._allowed, self._exit_signals = [], [], []

    def rename(self, path, new_path):
        """Renames one of the files, as a rotation does; both are read from now on."""
        path.rename(new_path)
        self._paths += (new_path,)
        self._marks[new_path], self._marks[path] = self._marks[path], 0

    def add(self, path):
        """One more file, from its beginning."""
        self._paths += (path,)
        self._marks[path] = 0

    def expect(self, *patterns, level=None):
        """Announces lines that must come. With `level`, at this level or a more serious one."""
        self._expected += [(pattern, _matcher(pattern), level) for pattern in patterns]

    def allow(self, *patterns):
        """Announces lines that may come."""
        self._allowed += [_matcher(pattern) for pattern in patterns]

    def allow_exit_signal(self, pattern):
        """For a test that kills a child itself."""
        self._exit_signals.append(re.compile(pattern))

    def _read(self, path):
        if not path.exists():
            return b""
        with open(path, "rb") as file:
            file.seek(self._marks[path])
            return file.read()

    def lines(self, final=False):
        """The whole lines since the mark; with `final` also one that has no end."""
        found = []
        for path in self._paths:
            *whole, rest = self._read(path).decode("utf-8", "backslashreplace").split("\n")
            found += whole + ([rest] if final else [])
        return [line for line in found if line]

    def matching(self, pattern):
        matcher = _matcher(pattern)
        return [line for line in self.lines() if matcher.search(line)]

    def problems(self, final=False):
        """What the test did not announce, and what it announced in vain; empty when all is well.
        `final`: the server has ended."""
        found = []
        for pattern, matcher, level in self._expected:
            try:
                wait_until(lambda: self._has(matcher, level), self._patience)
            except AssertionError:
                found.append(f"not in the error log: {pattern} {'at ' + level if level else ''}")
        return found + [line for line in self.lines(final) if self._is_problem(line)]

    def _has(self, matcher, level):
        for line in self.lines():
            if matcher.search(line):
                actual = level_of(line)
                if level is None or (actual and is_at_least(actual, level)):
                    return True
        return False

    def _is_problem(self, line):
        if CRASH.search(line):
            return not any(pattern.search(line) for pattern in self._exit_signals)
        level = level_of(line)
        if MACHINE.search(line) or (level is not None and not is_at_least(level, "warn")):
            return False
        announced = [matcher for _, matcher, _ in self._expected] + self._allowed + self._tolerated
        return not any(matcher.search(line) for matcher in announced)
