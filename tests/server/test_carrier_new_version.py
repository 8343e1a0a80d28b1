"""Another build of the module by a graceful restart, as a package does it: tunnels go on, and the
parent has nothing of the old one any more."""

import os
import pathlib
import shutil

import httpd_config
from carrying import (LOG, ROOM, check_all_going_away, check_echoes, end_by_client, number,
                      wait_for_carried)
from transport import under
from tunnels import end_of, in_thread, open_pair
from waiting import wait_until


def replace(path):
    """Another file, which is put there by rename."""
    new = path.with_name("new.so")
    shutil.copy(httpd_config.module_under_test(), new)
    os.replace(new, path)


def mapped(pid, path):
    """{(inode, has it been deleted)} of this file in a process."""
    found = set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(str(path)):
            found.add((int(fields[4]), fields[5].endswith("(deleted)")))
    return found


@under("event-tls", "prefork-plain")
def test_new_version(start_once, transport, member, public_dir):
    """Twice, with tunnels of each version; then they end in order, or with the server."""
    path = public_dir / "mod_wsbalance.so"
    replace(path)
    server = start_once(f"""
LoadModule wsbalance_module {path}
LogLevel wsbalance:debug
{ROOM}
{LOG}
ProxyPass /raw/ {transport.member_url("ws", member.port)}
""", modules=httpd_config.default_modules(without=["wsbalance"]), workers=6)
    groups = []
    for count in range(1, 3):
        groups.append([open_pair(server, member) for _ in range(3)])
        replace(path)
        server.graceful()
        carriers = wait_for_carried(server, 3 * count)
        assert mapped(server.parent_pid(), path) == {(path.stat().st_ino, False)}
        assert {is_deleted for pid in carriers for _, is_deleted in mapped(pid, path)} == {True}
        for pairs in groups:
            check_echoes(pairs)
        assert server.tunnels() == 3 * count
    for pair in groups[0]:
        end_by_client(pair)
        assert end_of(server, pair.port).reason == "client-eof"
    wait_until(lambda: server.tunnels() == 3, 5, "three tunnels")
    assert number(server, "WSBalanceEnded[client-eof]") == 3
    with in_thread(lambda: server.stop(settle=False)):
        check_all_going_away(groups[1])
