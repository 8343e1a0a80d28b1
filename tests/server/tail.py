"""What comes to a log file while a test runs."""

from waiting import wait_until


class Tail:
    """What comes to a file from now on."""

    def __init__(self, path):
        self._path, self._from = path, 0
        self._from = len(self.text())

    @classmethod
    def whole(cls, path):
        """What stands in it, too."""
        tail = cls(path)
        tail._from = 0  # pylint: disable=protected-access
        return tail

    def text(self):
        if not self._path.exists():
            return ""
        return self._path.read_text(encoding="utf-8")[self._from:]

    def lines(self, count=1):
        """So many whole lines; waits for them."""
        wait_until(lambda: self.text().count("\n") >= count, what=f"{count} lines")
        lines = self.text().splitlines()
        assert len(lines) == count, lines
        return lines

    def line(self):
        return self.lines()[0]
