"""mod_proxy_balancer's page for administrators, as their browser uses it. Its balancers have the
nonce "known"."""

import http.client

from waiting import SLOWNESS

MANAGER = """
<Location /balancer-manager>
  SetHandler balancer-manager
</Location>
"""


def manager(server, body=None):
    """balancer-manager's page; with a body, after it did what that says."""
    if context := server.transport.client_ssl:
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=20 * SLOWNESS,
                                                 context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * SLOWNESS)
    fields = {"Connection": "close", "Referer": "http://localhost/balancer-manager",
              "Host": "localhost"}
    connection.request("POST" if body else "GET", "/balancer-manager" + ("" if body else "?xml=1"),
                       body=body, headers=fields)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == 200, text
    return text


def set_flag(server, name, flag, is_on=True, balancer="cluster"):
    """Sets or clears a flag of a member: N (drain), D (disabled), S (stopped), C (failed check)."""
    manager(server, f"b={balancer}&nonce=known&w={name}&w_status_{flag}={int(is_on)}")
