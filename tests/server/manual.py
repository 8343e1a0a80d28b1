"""Reads pages of the manual."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)  # (language, text)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(path):
    """The blocks of code of a page: (language, text)."""
    return BLOCK.findall(read(path))


def configurations(path):
    """{heading of a page: the configurations below it}."""
    found = {}
    for section in re.split(r"^##+ ", read(path), flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        found[heading] = [text for language, text in BLOCK.findall(section) if language == "apache"]
    return found


def without_code(text):
    return BLOCK.sub("", text)


def headings(path):
    """The depths of its headings, in their order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code(read(path)), re.MULTILINE)]


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
