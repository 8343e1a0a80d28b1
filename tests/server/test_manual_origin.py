"""What docs/security.md says about Origin, with its own lines."""

import re

import pytest

from http_message import get_request, read_response, upgrade_request
from manual import blocks
from raw_peer import connect
from transport import under

BLOCKS = [text for language, text in blocks("docs/security.md")
          if language == "apache" and "HTTP:Origin" in text]
LIST, SAME = range(2)


def ask(server, request):
    with connect(server.port, server.transport) as client:
        client.send(request)
        return read_response(client).status


def upgrade(origin):
    return upgrade_request("/chat", add=[("Origin", origin)] if origin else [])


@under("event-plain")
@pytest.mark.parametrize("block,good", [
    (LIST, ["https://example.com", "https://www.example.com"]), (SAME, ["https://localhost"])])
def test_origin(start_once, echo_member, block, good):
    """S0-15: a page of another site gets 403, and what is no WebSocket is served."""
    assert len(BLOCKS) == 2 and re.search("<Location \"/chat\">", BLOCKS[block])
    server = start_once(BLOCKS[block] +
                        f"ProxyPass /chat http://127.0.0.1:{echo_member.port}/echo\n")
    server.allow_log("AH01630")
    for origin in good:
        assert ask(server, upgrade(origin)) == 101
    for origin in ["https://evil.example", "https://example.com.evil.example", "null", None]:
        assert ask(server, upgrade(origin)) == 403
    assert ask(server, get_request("/chat")) not in (101, 403)
