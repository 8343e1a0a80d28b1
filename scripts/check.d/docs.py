"""The manual's configurations and links. Prints what is wrong; exits 1 if anything is.

    docs.py <path of mod_wsbalance.so>

Every block of docs/ and README.md that begins with ```apache has to pass `httpd -t`: in the server
configuration, else in a <VirtualHost>, else in the section of a balancer that has two members. All
modules that the manual speaks of are loaded. What is meant to be wrong stands in a block without
"apache".

Every file of conf/ and conf/recipes/ has to pass it without a word, in the server configuration,
with Debian's usual modules and what `a2enmod` would enable for those that one of its first comments
names ("# Needs: proxy_http ssl"); without such a line, for proxy_balancer.

Files of certificates and keys, and the directory of logs, are replaced by some that are made here;
LoadModule lines are left out. Links that point into the tree, anchors, and paths of docs/ that conf/,
the man page and the sources name have to be there; so have the proofs that docs/requirements.md names.
"""

import functools
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/server"))

# pylint: disable=wrong-import-position
import manual
import recipe_modules
from httpd_config import STATIC_MODULES, apxs, program

# Loaded always. With Debian's httpd the first ones are in the program itself, the others enabled.
BASE = [*STATIC_MODULES, *recipe_modules.ALWAYS]

# What the manual speaks of. Those that a machine lacks are left out.
MODULES = """cgid dumpio headers http2 macro ratelimit remoteip rewrite slotmem_shm socache_shmcb ssl
    unique_id proxy proxy_hcheck proxy_http proxy_http2 proxy_wstunnel
    proxy_balancer lbmethod_byrequests lbmethod_bybusyness lbmethod_bytraffic lbmethod_heartbeat md proxy_fcgi proxy_connect""".split()

SURROUNDINGS = {
    "server config": "{}",
    "virtual host": "<VirtualHost *:8080>\n{}\n</VirtualHost>",
    "balancer": '<Proxy "balancer://of-the-check">\nBalancerMember "http://192.0.2.1:3000"\n'
                'BalancerMember "http://192.0.2.2:3000"\n{}\n</Proxy>',
}


class Httpd:
    """Runs `httpd -t` on pieces of configuration."""

    def __init__(self, module, directory):
        self.directory = pathlib.Path(directory)
        self.module = module
        (self.directory / "logs").mkdir()  # Which every httpd has.
        pem, keys = self.directory / "certificate.pem", self.directory / "route.keys"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", self.directory / "key",
             "-out", pem], check=True, capture_output=True)
        pem.write_text(pem.read_text() + (self.directory / "key").read_text())
        keys.write_text("0123456789abcdef" * 4 + "\n")
        keys.chmod(0o600)
        self.placeholders = [
            (re.compile(r"^(\s*SSL\w*File\s+).*", re.M | re.I), rf"\g<1>{pem}"),
            (re.compile(r"^(\s*SSL\w*Path\s+).*", re.M | re.I), rf"\g<1>{self.directory}"),
            (re.compile(r"\bsign=[^\s\"]+"), f"sign={keys}"),
            (re.compile(r"/var/log/apache2/"), "logs/"),
            (re.compile(r"^\s*LoadModule\s.*", re.M | re.I), ""),
        ]

    def check(self, text, names):
        """Whether it takes the text, and all that it says but "Syntax OK"."""
        for pattern, instead in self.placeholders:
            text = pattern.sub(instead, text)
        folder = pathlib.Path(apxs("LIBEXECDIR"))
        if not any(name.startswith("mpm_") for name in names):
            names = ["mpm_event", *names]
        load = [f"LoadModule {name}_module {folder}/mod_{name}.so"
                for name in [*BASE, *names] if (folder / f"mod_{name}.so").exists()]
        path = self.directory / "httpd.conf"
        path.write_text("\n".join([
            f"ServerRoot {self.directory}", "ServerName localhost", "DefaultRuntimeDir .",
            f"ErrorLog {self.directory}/error.log", *load,
            f"LoadModule wsbalance_module {self.module}", text, ""]))
        result = subprocess.run([program(), "-t", "-f", path], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        said = [line for line in result.stdout.splitlines() if line not in ("", "Syntax OK")]
        if result.returncode != 0:
            said.append(f"exit code {result.returncode}")
        return result.returncode == 0, said


def check_blocks(httpd, page, text):
    """Blocks of a page."""
    for match in manual.BLOCK.finditer(text):
        if match[1] != "apache":
            continue
        refusals = {}
        for name, around in SURROUNDINGS.items():
            is_right, refusals[name] = httpd.check(around.format(match[2]), MODULES)
            if is_right:
                break
        else:
            line = text.count("\n", 0, match.start()) + 1
            yield f"{page}:{line}: httpd -t refuses this block"
            for name, refusal in refusals.items():
                yield from (f"    in {name}: {said}" for said in refusal)


def check_example(httpd, path):
    text = path.read_text(encoding="utf-8")
    names = [*recipe_modules.needs(text), ["proxy_balancer"]][0]
    for said in httpd.check(text, recipe_modules.with_others(["proxy", *names]))[1]:
        yield f"{path.relative_to(ROOT)}: httpd -t says: {said}"


def anchors_of(text):
    """Those of headings, and those that are written out."""
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", manual.without_code(text), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = manual.anchor(heading)
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


@functools.lru_cache
def anchors(path):
    return anchors_of(path.read_text(encoding="utf-8"))


def check_target(source, folder, target):
    """One link of the file `source`, seen from `folder`."""
    name, _, anchor = target.partition("#")
    path = (folder / name).resolve() if name else source
    if not path.exists():
        yield f"{source.relative_to(ROOT)}: there is no {target}"
    elif anchor and path.suffix == ".md" and anchor not in anchors(path):
        yield f"{source.relative_to(ROOT)}: nothing has the anchor of {target}"


def check_links(page):
    text = re.sub(r"`[^`\n]*`", "", manual.without_code(page.read_text(encoding="utf-8")))
    targets = re.findall(r"\]\(<?([^)\s>]+)", text)
    targets += re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"", text)
    for target in targets:
        if not re.match(r"[a-z]+:", target):
            yield from check_target(page, page.parent, target)


def check_named_pages(path):
    """docs/... in a text that is no page."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for target in re.findall(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?", text):
        yield from check_target(path, ROOT, target)


def check_proofs(page):
    """docs/requirements.md: the tests, headings and files that prove a row are there."""
    tests = {path.stem: path.read_text(encoding="utf-8")
             for path in (ROOT / "tests/server").glob("test_*.py")}
    everything = "".join(tests.values())
    for row in re.findall(r"^\| S\d-\d\d \|.*", page.read_text(encoding="utf-8"), re.M):
        for name, details in re.findall(r"\b(test_\w+)(?: \(([^)]*)\))?", row):
            if name not in tests and f"def {name}(" not in everything:
                yield f"{row[2:7]}: there is no {name}"
            yield from (f"{row[2:7]}: {name} has no {test}"
                        for test in re.findall(r"\btest_\w+", details)
                        if f"def {test}(" not in tests.get(name, everything))
        for name, heading in re.findall(r'(docs/[\w-]+\.md), "([^"]+)"', row):
            if f"# {heading}\n" not in (ROOT / name).read_text(encoding="utf-8"):
                yield f"{row[2:7]}: {name} has no heading {heading}"
        yield from (f"{row[2:7]}: there is no {name}"
                    for name in re.findall(r"\b(?:docs|scripts|conf|tests)/[\w./*-]+\w", row)
                    if not any(ROOT.glob(name)))


def main():
    module = pathlib.Path(sys.argv[1]).resolve()
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    others = [path for name in ("conf", "mod_wsbalance") for path in sorted((ROOT / name).rglob("*"))
              if path.is_file()] + sorted((ROOT / "docs").glob("*.8"))
    found = []
    with tempfile.TemporaryDirectory() as directory:
        httpd = Httpd(module, directory)
        for page in pages:
            found += check_blocks(httpd, page.relative_to(ROOT), page.read_text(encoding="utf-8"))
            found += check_links(page)
        for path in sorted([*(ROOT / "conf").glob("*.conf"), *(ROOT / "conf/recipes").glob("*.conf")]):
            found += check_example(httpd, path)
    for path in others:
        found += check_named_pages(path)
    found += check_proofs(ROOT / "docs/requirements.md")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
