"""Requests through a balancer with a route cookie: who answered, and which cookies were set."""

import json
from dataclasses import dataclass

from frames import TEXT, client_frame, read_frame
from http_message import get_request, parse_head, read_response, upgrade_request
from raw_peer import connect

BALANCER = "balancer://app"


def cluster(members, *lines, scheme="http", options=None, path="/lb/", name=BALANCER):
    """A balancer with these members at `path`; `options` are of each member, by its name."""
    options = options or {}
    added = [f"BalancerMember {scheme}://127.0.0.1:{member.port} {options.get(member.name, '')}"
             for member in members]
    return "\n".join([f"<Proxy {name}>", *added, *lines, "</Proxy>",
                      f"ProxyPass {path} {name}/", ""])


def keys_file(directory, name, *keys, mode=0o600):
    path = directory / name
    path.write_text("".join(f"{key}\n" for key in keys), encoding="ascii")
    path.chmod(mode)
    return path


@dataclass
class Answer:
    """What came of a request; `who` is the name of the member, None if none answered."""

    status: int
    who: str | None
    set_cookies: list
    fields: list  # That the member got, with a handshake.
    variables: list  # BALANCER_SESSION_STICKY, _SESSION_ROUTE and _ROUTE_CHANGED, with SEEN.

    @property
    def cookie(self):
        """The only cookie that was set, as a client sends it back."""
        assert len(self.set_cookies) == 1, self.set_cookies
        return self.set_cookies[0].split(";")[0]


def _variables(head):
    return [None if word == "(null)" else word for word in (head.get("X-Route") or "").split()]


def _fields(cookie, add):
    return ([("Cookie", cookie)] if cookie else []) + list(add)


def get(server, cookie=None, path="/lb/x", add=()):
    with connect(server.port, server.transport) as client:
        client.send(get_request(path, add=_fields(cookie, add)))
        response = read_response(client)
    who = response.body.decode().split()[0] if response.status == 200 else None
    return Answer(response.status, who, response.head.all("Set-Cookie"), [],
                  _variables(response.head))


def _ask(client, text):
    client.send(client_frame(TEXT, text.encode()))
    return read_frame(client)[1].decode()


def shake(server, cookie=None, path="/lb/x", add=()):
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path, add=_fields(cookie, add)))
        head = parse_head(client.read_head())
        who, fields = None, []
        if head.status == 101:
            who, fields = _ask(client, "who"), json.loads(_ask(client, "headers"))
        return Answer(head.status, who, head.all("Set-Cookie"), fields, _variables(head))


# The variables of the request in each answer, and all Cookie fields and statuses in a log.
SEEN = """
Header always set X-Route "%{BALANCER_SESSION_STICKY}e %{BALANCER_SESSION_ROUTE}e \
%{BALANCER_ROUTE_CHANGED}e"
CustomLog cookies.log "%{Cookie}i|%>s"
"""


def logged(server):
    """The lines of the log, as pairs."""
    text = (server.directory / "cookies.log").read_text(encoding="utf-8")
    return [tuple(line.split("|")) for line in text.splitlines()]
