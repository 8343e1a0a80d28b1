"""The end of a server that has carriers: every tunnel gets its close frame, and nothing is left
behind, however the server, or a process of it, ends."""

import os
import signal

import pytest

import processes
from carrying import (ROOM, STOP_SIGNALS, carried_pairs, check_all_going_away, check_cut,
                      check_echo, check_echoes, check_going_away, check_spread, check_told,
                      close_all, event_only, number, pairs_in_carrier_and_child, plain_only,
                      take_closes, wait_for_carried, wait_for_no_carrier)
from httpd_config import default_modules
from ours import all_quiet
from transport import under
from tunnels import in_thread, open_pair
from waiting import SLOWNESS, wait_until

# With sides that do not answer; stock httpd needs 10 s.
STOP_SECONDS = 4 * SLOWNESS


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    return f"{ROOM}ProxyPass /raw/ {transport.member_url('ws', shared_member.port)}\n"


@under("worker-plain", "prefork-tls")
def test_stop(start_once, conf, member):
    """Every tunnel, of a child or a carrier, gets its close frame; then all processes end."""
    check_stop(start_once(conf, workers=6), member, "stop")


@under("event-tls", "worker-tls-client", "prefork-plain")
def test_graceful_stop(start_once, conf, member):
    check_stop(start_once(conf, workers=6), member, "graceful-stop")


def check_stop(server, member, way):
    pairs = sum(pairs_in_carrier_and_child(server, member), [])
    with in_thread(lambda: server.stop(signal_number=STOP_SIGNALS[way], settle=False)):
        check_all_going_away(pairs)
    assert server.stop_seconds < STOP_SECONDS


@under("prefork-plain")
def test_stop_without_the_module(start_once, conf, member):
    """It was removed by a graceful restart: nobody gives an order any more, but the parent ends."""
    server = start_once(conf, workers=6)
    pairs = [open_pair(server, member) for _ in range(3)]
    server.modules = default_modules(without=["wsbalance"])
    server.graceful("")
    wait_for_carried(server, len(pairs))
    with in_thread(lambda: server.stop(settle=False)):
        check_all_going_away(pairs)
    assert server.stop_seconds < STOP_SECONDS


@pytest.mark.parametrize("way", ["stop", "graceful-stop"])
@under("event-plain")
def test_stop_with_sides_that_do_not_answer(start_once, conf, member, way):
    server = start_once(conf, workers=6)
    pairs = sum(pairs_in_carrier_and_child(server, member), [])
    server.stop(signal_number=STOP_SIGNALS[way], settle=False)
    print("seconds:", server.stop_seconds)
    assert server.stop_seconds < STOP_SECONDS
    for pair in pairs:
        check_told(pair)
        check_cut(pair)


@under("event-plain", "worker-tls", "prefork-plain")
def test_restart(start_once, conf, member):
    """Not graceful: tunnels of children end as their requests do, those of carriers go on."""
    server = start_once(conf, workers=6)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    before = number(server, "ParentServerConfigGeneration")
    server.signal(signal.SIGHUP)
    check_all_going_away(in_child)
    wait_until(lambda: is_after(server, before), 20, "the restart")
    check_echoes(in_carrier)
    close_all(in_carrier)
    wait_for_no_carrier(server)
    all_quiet(server)


def is_after(server, generation):
    return server.answers() and number(server, "ParentServerConfigGeneration") > generation


@under("event-tls")
def test_graceful_stop_over_some_time(start_once, conf, member):
    """GracefulShutdownTimeout: the close frames are spread over it, data passes until then."""
    server = start_once(f"GracefulShutdownTimeout 3\n{conf}", workers=6)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member, 12)
    with in_thread(lambda: server.stop(signal_number=signal.SIGWINCH, settle=False)):
        times = take_closes(in_carrier + in_child, b"going away", check_echo)
    print("told after:", [round(seconds, 1) for seconds in times])
    assert server.stop_seconds < 3 + STOP_SECONDS
    check_spread(times[:12], 3)
    check_spread(times[12:], 3)


@event_only
@plain_only
def test_sigterm_during_a_graceful_stop(start_once, conf, member):
    """What was spread over a long time comes at once."""
    server = start_once(f"GracefulShutdownTimeout 60\n{conf}", workers=6)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    server.signal(signal.SIGWINCH)
    wait_until(lambda: server.log.matching("AH00492"), 10, "the graceful stop to begin")
    check_echoes(in_carrier[:1])
    with in_thread(lambda: server.stop(settle=False)):
        for pair in in_carrier + in_child:
            check_going_away(pair)
    assert server.stop_seconds < STOP_SECONDS


@event_only
@plain_only
def test_carriers_that_died_are_not_waited_for(start_once, conf, member):
    """However long GracefulShutdownTimeout is."""
    server = start_once(f"GracefulShutdownTimeout 60\n{conf}", workers=6)
    pairs = carried_pairs(server, member, 3)
    server.signal(signal.SIGWINCH)
    wait_until(lambda: server.log.matching("WSB0404"), 10, "the parent to wait for its carrier")
    for carrier in server.carriers():
        os.kill(carrier, signal.SIGKILL)
    wait_until(lambda: not server.pids(), 4, "the server to end")
    close_all(pairs)
    server.stop(settle=False)


@under("event-tls", "prefork-plain")
def test_as_systemd_does_it(start_once, conf, member):
    """Debian's unit: `graceful-stop`, then at once SIGTERM to the main process, then SIGKILL to all
    that is left when that is gone (KillMode=mixed). Each side has its close frame."""
    server = start_once(conf, workers=6)
    pairs = sum(pairs_in_carrier_and_child(server, member), [])
    parent = server.parent_pid()
    server.signal(signal.SIGWINCH)
    server.signal(signal.SIGTERM)
    wait_until(lambda: not processes.is_alive(parent), 10, "the parent to end")
    server.kill()
    for pair in pairs:
        check_told(pair)
        check_cut(pair)


# -- Ends that nobody planned ---------------------------------------------------------------------

@plain_only
@event_only
@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_carrier_is_killed(start_once, conf, member, number_of_signal):
    """The others do not notice, and counters heal."""
    server = start_once(conf)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    carrier, = server.carriers()
    os.kill(carrier, number_of_signal)
    for pair in in_carrier:
        if number_of_signal == signal.SIGTERM:
            check_going_away(pair)
        else:
            check_cut(pair)
    wait_until(lambda: server.tunnels() == len(in_child), 5, "the count to heal")
    wait_for_no_carrier(server)
    lost = 0 if number_of_signal == signal.SIGTERM else len(in_carrier)
    assert number(server, "WSBalanceLost") == lost
    check_echoes(in_child)
    close_all(in_child)
    all_quiet(server)


@pytest.mark.httpd_has("2.4.54", "event starts a child for one that was killed", mpm="event")
@plain_only
@event_only
def test_a_child_is_killed(start_once, conf, member):
    server = start_once(conf)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    server.log.allow_exit_signal("AH00052")
    server.allow_log("AH00052")
    child, = set(server.children()) - set(server.carriers())
    os.kill(child, signal.SIGKILL)
    for pair in in_child:
        check_cut(pair)
    check_echoes(in_carrier)
    wait_until(server.answers, 20, "another child")
    wait_until(lambda: server.tunnels() == len(in_carrier), 5, "the count to heal")
    close_all(in_carrier)
    all_quiet(server)


@under("event-tls", "prefork-plain")
def test_the_parent_is_killed(start_once, conf, member):
    server = start_once(conf)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    carriers = wait_for_carried(server, len(in_carrier))
    os.kill(server.parent_pid(), signal.SIGKILL)
    check_all_going_away(in_carrier)
    wait_until(lambda: not any(processes.is_alive(pid) for pid in carriers), 3,
               "the carriers to end")
    close_all(in_child)
    server.kill()


@plain_only
@event_only
@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGKILL])
def test_with_mod_cgid(start_once, conf, member, number_of_signal):
    """Its daemon is forked without exec, and holds whatever the parent had open."""
    server = start_once(f"ScriptSock cgid.sock\n{conf}", modules=default_modules(add=["cgid"]))
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    carriers = wait_for_carried(server, len(in_carrier))
    if number_of_signal == signal.SIGTERM:
        with in_thread(lambda: server.stop(settle=False)):
            check_all_going_away(in_carrier + in_child)
        assert server.stop_seconds < STOP_SECONDS
    else:
        os.kill(server.parent_pid(), signal.SIGKILL)
        check_all_going_away(in_carrier)
        wait_until(lambda: not any(processes.is_alive(pid) for pid in carriers), 3,
                   "the carriers to end")
        close_all(in_child)
        server.kill()


AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@plain_only
@event_only
def test_as_process_1(start_once, conf, member):
    """In a container httpd may be process 1, which carriers belong to when their child has ended.
    No zombie stays, and httpd has no word about a child that it does not know."""
    server = start_once(conf, wrapper=AS_PROCESS_1)
    in_carrier, in_child = pairs_in_carrier_and_child(server, member)
    parent, carriers = server.parent_pid(), wait_for_carried(server, len(in_carrier))
    assert set(carriers) <= set(processes.children(parent))
    check_echoes(in_carrier)
    close_all(in_carrier)
    wait_for_no_carrier(server)
    wait_until(lambda: not set(carriers) & set(processes.children(parent)), 5, "no zombie")
    assert not server.log.matching("AH00488")
    pairs = [open_pair(server, member) for _ in range(2)]
    server.graceful()
    wait_for_carried(server, len(pairs) + len(in_child))
    with in_thread(lambda: server.stop(settle=False)):
        check_all_going_away(in_child + pairs)
    assert server.stop_seconds < STOP_SECONDS
