"""Who carries a tunnel: our relay, or a worker of httpd?"""

from waiting import wait_until
from ws_peer import connected


def all_quiet(server):
    """Waits until no tunnel is open and no worker busy but the one that is asked."""
    wait_until(lambda: server.tunnels() == 0, what="all tunnels to be closed")
    wait_until(lambda: server.busy_workers() == 1, what="all workers to be idle")


def check_ours(server, count=1):
    """With `count` tunnels open: all are relayed by us, and no worker is busy with them."""
    wait_until(lambda: server.tunnels() == count, what=f"WSBalanceTunnels: {count}")
    wait_until(lambda: server.busy_workers() == 1, what="only one busy worker")


def check_not_ours(server):
    """With one tunnel open: a worker of httpd is busy with it, none of ours."""
    wait_until(lambda: server.busy_workers() == 2, what="a worker to be busy with the tunnel")
    assert server.tunnels() == 0


def check_echo(server, path, member_path, **options):
    """A tunnel through `path` is ours and reaches the member at `member_path`; returns its name."""
    with connected(server, path, **options) as client:
        assert client.ask("path") == member_path
        name = client.ask("who")
        check_ours(server)
        assert client.ask("still here?") == "still here?"
        check_ours(server)
    all_quiet(server)
    return name
