"""The certificates of a test run: a private authority and one certificate for every server.

They are made when they are first asked for, live in a temporary directory, and go with the run.
"""

import atexit
import functools
import pathlib
import shutil
import ssl
import subprocess
import tempfile

# httpd compares the name of a member with the names in the certificate and with its CN, but not
# with its addresses: so the CN is the address.
SUBJECT = "/CN=127.0.0.1"
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:example.com"

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Certificates:
    """The files, and the SSLContexts of peers that use them."""

    def __init__(self, directory):
        self.authority = directory / "authority.pem"
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        _openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=authority of the tests",
                 "-keyout", directory / "authority.key", "-out", self.authority)
        _openssl("req", *NEW_KEY, "-subj", SUBJECT, "-addext", NAMES, "-keyout", self.key,
                 "-out", directory / "server.csr")
        _openssl("x509", "-req", "-in", directory / "server.csr", "-copy_extensions", "copy",
                 "-CA", self.authority, "-CAkey", directory / "authority.key", "-CAcreateserial",
                 "-days", "2", "-out", self.certificate)

    @functools.cached_property
    def client_context(self):
        """For who connects: checks the certificate and that it is for 127.0.0.1."""
        return ssl.create_default_context(cafile=self.authority)

    @functools.cached_property
    def server_context(self):
        """For who accepts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)


@functools.lru_cache
def certificates():
    """Those of this run."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-certificates-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Certificates(directory)
