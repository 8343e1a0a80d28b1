"""Ports of 127.0.0.1 that nobody else takes while this process lives, or until they are released."""

import socket

_held = {}


def free_port():
    """A port for a server that sets SO_REUSEADDR, as httpd does.

    The socket that found it stays bound (not listening) until this process ends or release(), so that neither
    another test run nor an outgoing connection gets the same port in between.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    _held[port] = holder
    return port


def free_ports(count):
    return [free_port() for _ in range(count)]


def release(port):
    """Nobody needs it any more. (What is held is a descriptor each.)"""
    if holder := _held.pop(port, None):
        holder.close()


def refusing_port():
    """A port that refuses every connection: it is bound, and nobody listens."""
    return free_port()
