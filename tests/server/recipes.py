"""The configurations of conf/recipes as they are shipped: a test gives addresses, ports and files for
their placeholders and changes nothing else, unless it says so."""

import pathlib
import re

import pytest

import recipe_modules
from issued_certificates import issued
from waiting import SLOWNESS

FOLDER = pathlib.Path(__file__).parents[2] / "conf" / "recipes"

# What recipes run of the module, other tests run too.
WITHOUT_SANITIZER = pytest.mark.skipif(SLOWNESS > 1, reason="no code of its own")

# From Debian's apache2.conf, ssl.conf and mime.conf.
DEBIAN = """
TypesConfig /dev/null
<IfModule ssl_module>
  SSLSessionCache shmcb:ssl_sessions(512000)
</IfModule>
"""

# Addresses of the documentation, names, files and ports of a real machine.
PLACEHOLDER = re.compile(r"192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|/etc/|/run/|\*:(80|443)>")


def names():
    return sorted(path.name for path in FOLDER.glob("*"))


def needs(name):
    """The modules that the recipe's first lines name."""
    found = recipe_modules.needs((FOLDER / name).read_text())
    assert len(found) == 1, f"{name} has {len(found)} lines that begin with '# Needs: '"
    return found[0]


def modules(name):
    """What is loaded after a2enmod with what the recipe needs, in an order that works; without the
    MPM, which is not for here."""
    named = [module for module in needs(name) if not module.startswith("mpm_")]
    return (*recipe_modules.with_others([*recipe_modules.ALWAYS, *named, "proxy"]), "wsbalance")


def text(name, table):
    """The lines of a recipe with everything in `table` replaced; each of it must be there."""
    lines = (FOLDER / name).read_text()
    for old, new in table.items():
        assert old in lines, f"{old} is not in {name}"
        lines = lines.replace(old, str(new))
    active = [line for line in lines.splitlines() if not line.lstrip().startswith("#")]
    left = [line for line in active if PLACEHOLDER.search(line)]
    assert not left, f"not replaced in {name}: {left}"
    return DEBIAN + lines


def certificate_of(host):
    """What stands for the certificate of this host and its key in a recipe with TLS."""
    files = issued(host, names=f"subjectAltName=IP:127.0.0.1,DNS:{host}")
    live = f"/etc/letsencrypt/live/{host}"
    return {f"{live}/fullchain.pem": files.certificate, f"{live}/privkey.pem": files.key}
