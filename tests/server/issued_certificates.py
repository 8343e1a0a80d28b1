"""Certificates beside the one of certificates.py: for clients, and such as nobody should accept."""

import functools
import ssl
import subprocess
from dataclasses import dataclass

from certificates import NAMES, NEW_KEY, SUBJECT, certificates


@dataclass(frozen=True)
class Issued:
    """The files: a certificate, its key, and both in one."""

    certificate: str
    key: str
    both: str

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.both)
        return context


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)


@functools.lru_cache(maxsize=None)
def issued(name, *, subject=SUBJECT, names=NAMES, days=2, by_authority=True):
    """A certificate of the run's authority, or one that it signed itself. `days` below 0: it has
    expired. `name` is for the files."""
    directory = certificates().authority.parent
    request = directory / f"{name}.csr"
    certificate, key, both = (directory / f"{name}{end}" for end in (".pem", ".key", "-both.pem"))
    new = ["req", *NEW_KEY, "-subj", subject, "-addext", names, "-keyout", key]
    if by_authority:
        _openssl(*new, "-out", request)
        _openssl("x509", "-req", "-in", request, "-copy_extensions", "copy", "-days", days,
                 "-CA", certificates().authority, "-CAkey", directory / "authority.key",
                 "-CAcreateserial", "-out", certificate)
    else:
        _openssl(*new, "-x509", "-days", days, "-out", certificate)
    # OpenSSL 1.1.1 finds a key beside a certificate only in the older form.
    _openssl("pkey", "-in", key, "-traditional", "-out", both)
    both.write_text(both.read_text() + certificate.read_text())
    return Issued(str(certificate), str(key), str(both))


def client_certificate():
    """One that a client, or httpd as the client of a member, can show."""
    return issued("client", subject="/CN=someone", names="subjectAltName=DNS:someone")
