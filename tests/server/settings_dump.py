"""What `httpd -t -D DUMP_WSBALANCE` prints, and what it means."""

import contextlib
import re

from httpd_env import Httpd

# mod_proxy makes a balancer of it.
MEMBER = '  BalancerMember "http://192.0.2.1:3000"'


def balancer(*lines, name="app", members=(MEMBER,)):
    """The section of a balancer."""
    return "\n".join([f'<Proxy "balancer://{name}">', *members, *lines, "</Proxy>"])


@contextlib.contextmanager
def not_started(conf="", mpm="event", modules=("proxy", "wsbalance")):
    """An httpd that is only asked; nothing is left of it."""
    httpd = Httpd(mpm, conf, modules=modules)
    try:
        (httpd.directory / "logs").mkdir()  # Which every httpd has.
        yield httpd
    finally:
        httpd.remove()


def dump(conf, mpm="event", modules=("proxy", "wsbalance")):
    """The text, without its first line."""
    with not_started(conf, mpm, modules) as httpd:
        result = httpd.ask("-t", "-D", "DUMP_WSBALANCE")
    assert result.returncode == 0 and result.stderr.endswith("Syntax OK\n"), result.stderr
    first, _, rest = result.stdout.partition("\n")
    assert first.startswith("# mod_wsbalance "), result.stdout
    return rest


def settings(text):
    """The settings of a dump without virtual hosts: their names with all that is said of each, as
    (comment, value) in order. The comment is "" if it was set, "default", or "default: ...";
    where no line can say it the value is None."""
    found, comment = {}, ""
    for line in map(str.strip, text.splitlines()):
        if match := re.fullmatch(r"# (\w+) is not set: (.*)", line):
            found.setdefault(match[1], []).append((f"default: {match[2]}", None))
        elif line.startswith("# "):
            comment = line[2:]
        elif line.startswith("<") or not line:
            comment = ""
        else:
            name, _, value = line.partition(" ")
            found.setdefault(name, []).append((comment, value))
    return found
