"""A TCP socket with TLS on it that does what Python's ssl module has no call for: KeyUpdate,
renegotiation, session tickets at any time, and several records in one write to the kernel.

OpenSSL itself through ctypes. For raw peers; looks like a socket, as far as tests use one.
"""

import ctypes
import ctypes.util
import socket
import time

_ssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
_crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))

for _name in ("TLS_client_method", "TLS_server_method", "SSL_CTX_new", "SSL_new"):
    getattr(_ssl, _name).restype = ctypes.c_void_p
for _name in ("BIO_s_mem", "BIO_new"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
_crypto.ERR_get_error.restype = ctypes.c_ulong
_crypto.ERR_reason_error_string.restype = ctypes.c_char_p
_crypto.ERR_reason_error_string.argtypes = [ctypes.c_ulong]

TLS1_2, TLS1_3 = 0x0303, 0x0304
_FILETYPE_PEM = 1
_CTRL_SET_MIN, _CTRL_SET_MAX, _CTRL_MEM_EOF_RETURN = 123, 124, 130
_WANT_READ, _ZERO_RETURN = 2, 6
RECORD = 1 << 14


class OpensslError(OSError):
    """What OpenSSL says, as text."""


def _reason():
    text = None
    while code := _crypto.ERR_get_error():
        text = _crypto.ERR_reason_error_string(code)
    return text.decode() if text else "no reason"


def _p(pointer):
    return ctypes.c_void_p(pointer)


class OpensslSocket:
    """A server with `files` (certificate and key), a client without. It does not look at the
    certificate of the other side. `version`: the only one that it speaks."""

    def __init__(self, sock, *, files=None, version=None):
        self._sock = sock
        method = _ssl.TLS_server_method() if files else _ssl.TLS_client_method()
        self._context = _ssl.SSL_CTX_new(_p(method))
        if version:
            for command in (_CTRL_SET_MIN, _CTRL_SET_MAX):
                _ssl.SSL_CTX_ctrl(_p(self._context), command, ctypes.c_long(version), None)
        if files:
            for load, path in ((_ssl.SSL_CTX_use_certificate_file, files.certificate),
                               (_ssl.SSL_CTX_use_PrivateKey_file, files.key)):
                assert load(_p(self._context), str(path).encode(), _FILETYPE_PEM) == 1, _reason()
        self._tls = _ssl.SSL_new(_p(self._context))
        self._in, self._out = (_crypto.BIO_new(_p(_crypto.BIO_s_mem())) for _ in range(2))
        for bio in (self._in, self._out):
            # Empty means: read again later.
            _crypto.BIO_ctrl(_p(bio), _CTRL_MEM_EOF_RETURN, ctypes.c_long(-1), None)
        _ssl.SSL_set_bio(_p(self._tls), _p(self._in), _p(self._out))
        if files:
            _ssl.SSL_set_accept_state(_p(self._tls))
        else:
            _ssl.SSL_set_connect_state(_p(self._tls))
        self._is_ended = False

    def __del__(self):
        _ssl.SSL_free(_p(self._tls))
        _ssl.SSL_CTX_free(_p(self._context))

    # -- As of any socket -------------------------------------------------------------------------

    def fileno(self):
        return self._sock.fileno()

    def getsockname(self):
        return self._sock.getsockname()

    def setsockopt(self, *arguments):
        self._sock.setsockopt(*arguments)

    def settimeout(self, seconds):
        self._sock.settimeout(seconds)

    def close(self):
        self._sock.close()

    def shutdown(self, how):
        assert how == socket.SHUT_WR
        self.close_notify()
        self.flush()
        self._sock.shutdown(how)

    def sendall(self, data):
        self.handshake()
        self.write(data)
        self.flush()

    def recv(self, size):
        """b"" at a close_notify, or at a FIN without one."""
        self.handshake()
        buffer = ctypes.create_string_buffer(size)
        while not self._is_ended:
            count = self._call(_ssl.SSL_read, buffer, size)
            self.flush()
            if count > 0:
                return buffer.raw[:count]
            self._feed()
        return b""

    # -- What TLS has -----------------------------------------------------------------------------

    def _call(self, function, *arguments):
        """Calls a function of OpenSSL; 0 when it has to be called again or TLS has ended."""
        _crypto.ERR_clear_error()
        result = function(_p(self._tls), *arguments)
        if result > 0:
            return result
        error = _ssl.SSL_get_error(_p(self._tls), result)
        self._is_ended = self._is_ended or error == _ZERO_RETURN
        if error not in (_WANT_READ, _ZERO_RETURN):
            reason = _reason()
            self.flush()  # The alert.
            raise OpensslError(reason)
        return 0

    def _feed(self):
        """Waits for bytes of the other side, and gives them to OpenSSL."""
        try:
            data = self._sock.recv(RECORD)
        except ConnectionResetError:
            data = b""
        self._is_ended = not data
        _crypto.BIO_write(_p(self._in), data, len(data))

    def handshake(self):
        """Waits until the handshake, or the renegotiation, is done. The client's last flight goes
        out with what is written next."""
        end = time.monotonic() + (self._sock.gettimeout() or 0)
        while not self._call(_ssl.SSL_do_handshake):
            self.flush()
            assert time.monotonic() < end, "no handshake in time"
            self._feed()
            if self._is_ended:
                raise OpensslError("end of file in the handshake")

    def write(self, data):
        """Makes records, which go out with the next flush()."""
        for at in range(0, len(data), RECORD):
            part = data[at:at + RECORD]
            assert self._call(_ssl.SSL_write, part, len(part)) == len(part)

    def key_update(self, request):
        """New keys for what we send; with `request` the other side has to do the same. Goes out
        with the next record."""
        assert self._call(_ssl.SSL_key_update, int(request)) == 1

    def new_ticket(self):
        """One more session ticket; goes out with the next record."""
        assert self._call(_ssl.SSL_new_session_ticket) == 1

    def renegotiate(self):
        """Asks for new keys the way of TLS 1.2, and waits for what comes of it."""
        assert self._call(_ssl.SSL_renegotiate) == 1
        self.handshake()

    def close_notify(self):
        _ssl.SSL_shutdown(_p(self._tls))

    def flush(self):
        """Sends all records that are there, in one write."""
        buffer = ctypes.create_string_buffer(1 << 20)
        while (count := _crypto.BIO_read(_p(self._out), buffer, len(buffer))) > 0:
            self._sock.sendall(buffer.raw[:count])

    def send_raw(self, data):
        """Bytes as they are, between two records."""
        self._sock.sendall(data)
