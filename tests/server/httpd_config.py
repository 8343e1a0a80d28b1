"""Writes the configuration of a private httpd."""

import functools
import os
import pathlib
import re
import subprocess

DEFAULT_MODULES = (
    "authn_core", "authz_core", "authz_host", "authz_user", "auth_basic", "authn_file",
    "alias", "dir", "env", "headers", "remoteip", "reqtimeout", "rewrite", "setenvif",
    "status", "slotmem_shm", "proxy", "proxy_balancer", "lbmethod_byrequests", "proxy_http",
    "proxy_wstunnel", "wsbalance")

STATIC_MODULES = ("watchdog", "unixd", "log_config", "logio", "version", "so")  # Debian's.

# Of the httpd to test with.
APXS = os.environ.get("WSB_APXS") or "apxs"


@functools.lru_cache
def apxs(name):
    return subprocess.run([APXS, "-q", name], check=True, capture_output=True,
                          text=True).stdout.strip()


def program():
    """The path of httpd."""
    return os.path.join(apxs("SBINDIR"), apxs("PROGNAME") or apxs("TARGET"))


@functools.lru_cache
def version():
    """Of httpd: (2, 4, 52)."""
    said = subprocess.run([program(), "-v"], check=True, capture_output=True, text=True).stdout
    return tuple(int(part) for part in re.search(r"Apache/(\d+)\.(\d+)\.(\d+)", said).groups())


def is_at_least(text):
    """Is httpd of this version ("2.4.58") or newer?"""
    return version() >= tuple(int(part) for part in text.split("."))


def module_under_test():
    """The module's path, or None with WSB_MODULE=none: stock httpd, on which tests must fail."""
    path = os.environ.get("WSB_MODULE")
    assert path, "set WSB_MODULE to the path of mod_wsbalance.so"
    if path == "none":
        return None
    assert os.path.exists(path), f"WSB_MODULE names no file: {path}"
    return os.path.abspath(path)


def default_modules(without=(), add=()):
    return tuple(name for name in DEFAULT_MODULES if name not in without) + tuple(add)


def load_line(name):
    """The LoadModule line of a module that is named without mod_."""
    path = f"{apxs('LIBEXECDIR')}/mod_{name}.so"
    if name == "wsbalance":
        path = module_under_test()
        if path is None:
            return ""
    return f"LoadModule {name}_module {path}"


def static_module_lines():
    """Another httpd may have as shared modules what is built into Debian's."""
    return "\n".join(load_line(name) for name in STATIC_MODULES
                     if os.path.exists(f"{apxs('LIBEXECDIR')}/mod_{name}.so"))


def mpm_lines(mpm, workers, children):
    """`workers` at most, all of them from the start, in `children` processes where that is free.
    Before 2.4.54 event needs room for one more child, or it starts none after a restart."""
    spare = 0 if is_at_least("2.4.54") else 1
    if mpm == "prefork":
        return f"""
StartServers {workers}
MinSpareServers 1
MaxSpareServers {workers}
ServerLimit {workers}
MaxRequestWorkers {workers}
"""
    return f"""
ServerLimit {children + spare}
StartServers {children}
ThreadLimit {workers // children}
ThreadsPerChild {workers // children}
MaxRequestWorkers {workers}
MinSpareThreads 1
MaxSpareThreads {workers}
"""


def tolerated_lines(mpm):
    """Log lines of faults that this httpd has, with or without the module."""
    if mpm == "worker" and not is_at_least("2.4.62"):
        return ["AH00045"]  # A child takes 5 seconds to stop.
    return []


def status_host(port):
    """A virtual host that answers whatever the test's own lines say."""
    return f"""
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
  ServerName status.invalid
  <IfModule mod_proxy.c>
    ProxyPassInherit Off
    <Location />
      ProxyPass !
    </Location>
  </IfModule>
  <IfModule mod_ssl.c>
    SSLEngine off
  </IfModule>
  <IfModule mod_authz_core.c>
    <Location />
      AuthMerging Off
      Require all granted
    </Location>
  </IfModule>
  <IfModule mod_status.c>
    <Location /server-status>
      SetHandler server-status
    </Location>
  </IfModule>
</VirtualHost>
"""


def without_our_directives(text):
    """For runs on stock httpd."""
    if module_under_test() is not None:
        return text
    return "\n".join(line for line in text.splitlines()
                     if not line.strip().startswith("WSBalance"))


def write(directory, *, mpm, modules, listen, status_port, transport, conf, workers, children):
    """Writes httpd.conf into the directory and returns its path."""
    directory = pathlib.Path(directory)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    level = "LogLevel info" + (" wsbalance:debug" if _has_wsbalance(modules) else "")
    text = "\n".join([
        f"ServerRoot {directory}", "ServerName localhost", "DefaultRuntimeDir .",
        f"PidFile {directory}/httpd.pid", f"ErrorLog {directory}/error.log",
        static_module_lines(), load_line(f"mpm_{mpm}"), *[load_line(name) for name in modules], user, level,
        r'CustomLog access.log "%h \"%r\" %>s %b"',
        mpm_lines(mpm, workers, children),
        "Timeout 20\nKeepAliveTimeout 5\nMaxKeepAliveRequests 0",
        f"DocumentRoot {directory}/htdocs",
        *[f"Listen 127.0.0.1:{port}" for port in listen],
        transport.server_config(), conf, status_host(status_port), ""])
    path = directory / "httpd.conf"
    path.write_text(without_our_directives(text), encoding="utf-8")
    return path


def _has_wsbalance(modules):
    return "wsbalance" in modules and module_under_test() is not None
