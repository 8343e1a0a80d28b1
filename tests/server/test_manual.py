"""The pages of the manual agree with the sources and with each other. Starts no server."""

import re

from manual import ROOT, blocks, headings, read

PAGE = "docs/log-messages.md"


def logged_by_sources():
    """{number: regular expression of its text} of the lines that stand in the sources as a whole."""
    found = {}
    for path in sorted((ROOT / "mod_wsbalance" / "httpd").iterdir()):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        # A literal may go on in the next one, with the name of a format (APR_PID_T_FMT) in between.
        for match in re.finditer(
                r'"(WSB\d{4}): ((?:[^"\\]|\\.)*)"((?:\s*(?:[A-Z_0-9]+_FMT\s*)?"(?:[^"\\]|\\.)*"'
                r'|\s*[A-Z_0-9]+_FMT\b)*)', text):
            parts = re.findall(r'"((?:[^"\\]|\\.)*)"|([A-Z_0-9]+_FMT)', match[3])
            format_ = match[2] + "".join(literal if not name else "u" for literal, name in parts)
            format_ = format_.replace('\\"', '"')
            literals = re.split(r"%[-0-9.]*(?:ll|l|z)?[a-zA-Z]", format_.replace("%%", "%"))
            found[match[1]] = ".*".join(re.escape(literal) for literal in literals)
    return found


def rows_of_page():
    """{number: what stands in the first code span of its row}."""
    return {match[1]: match[2].replace("\\|", "|") for match in re.finditer(
        r"^\| ((?:WSB|AH)\d{4,5}) \|[^`\n]*`((?:[^`])+)`", read(PAGE), re.MULTILINE)}


def test_the_page_has_what_is_logged():
    """S1-57: a line from the log is found by its text."""
    sources, page = logged_by_sources(), rows_of_page()
    assert len(sources) > 60
    wrong = {number: (pattern, page.get(number)) for number, pattern in sources.items()
             if not re.fullmatch(pattern, page.get(number, ""))}
    assert not wrong, f"{PAGE} shows another text: {wrong}"


def test_the_page_has_the_rules():
    """Each rule of handshakes and frames with its section."""
    page = read(PAGE)
    source = read("mod_wsbalance/protocol/handshake_error.cpp")
    rules = re.findall(r'HandshakeRule\{\w+, \d+, "(WSB\d{4})",\s*"([^"]*)",\s*"([^"]*)"\}', source)
    assert len(rules) > 20
    for number, text, reference in rules:
        assert re.search(rf"^\| {number} \|[^\n]*`{re.escape(text)}` \| {re.escape(reference)} \|",
                         page, re.MULTILINE), f"{number}: {text} ({reference})"
    frames = re.findall(r'Row\{\w+,\s*\{"([^"]*)",\s*"([^"]*)"\}\}',
                        read("mod_wsbalance/protocol/frame_rules.cpp"))[1:]
    assert len(frames) > 10
    for text, reference in frames:
        assert f"| `{text}` | {reference} |" in page, text


def test_the_page_has_what_guides_name():
    """S1-57: what widely copied guides tell to look for in the log."""
    page = read(PAGE)
    for text in ("AH01144", "Connection refused", "AH00961", "SSL Handshake", "Permission denied"):
        assert text in page


def test_the_quick_start_is_the_same_in_both_languages():
    """The same commands and configurations, under headings of the same depth."""
    english, japanese = "docs/quick-start.md", "docs/quick-start.ja.md"
    assert blocks(english) == blocks(japanese)
    assert headings(english) == headings(japanese)
    assert "(quick-start.ja.md)" in read(english) and "(quick-start.md)" in read(japanese)
