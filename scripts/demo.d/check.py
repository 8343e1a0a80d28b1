"""Proves 1,000 tunnels through the demo's httpd with a real client, prints what it saw.

Two processes of 500 tunnels each: every tunnel is opened, greeted and has a message echoed, then
all are held open at once while httpd is asked for its workers and for an ordinary page.
Exits 1 if anything is off.
"""
import asyncio
import collections
import http.client
import multiprocessing
import signal
import sys
import time

import websockets

PROCESSES = 2
TUNNELS = 500  # Of each process.
AT_ONCE = 5    # Handshakes of each process; together fewer than WSBalanceMaxHandshakes.
WORKERS = 25


async def open_tunnel(port, number, gate, report):
    async with gate:
        websocket = await websockets.connect(f"ws://127.0.0.1:{port}/ws", open_timeout=20,
                                             ping_interval=None, compression=None)
    greeting = await asyncio.wait_for(websocket.recv(), 20)
    member = greeting.split(":")[0]
    report["greeted"] += greeting == f"{member}: hello"
    message = f"message {number}"
    await websocket.send(message)
    echo = await asyncio.wait_for(websocket.recv(), 20)
    report["echoed"] += echo == f"{member}: {message}"
    report[f"at {member}"] += 1
    return websocket


async def tunnels(port, first, pipe):
    report = collections.Counter()
    gate = asyncio.Semaphore(AT_ONCE)
    results = await asyncio.gather(*(open_tunnel(port, first + i, gate, report)
                                     for i in range(TUNNELS)), return_exceptions=True)
    open_now = [r for r in results if not isinstance(r, BaseException)]
    for failure in results:
        if isinstance(failure, BaseException):
            report[f"failed {failure!r}"] += 1
    pipe.send(report)
    # Held until the other end says so; then each must still be able to talk.
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    alive = 0
    for websocket in open_now:
        try:
            await websocket.send("still here")
            alive += (await asyncio.wait_for(websocket.recv(), 20)).endswith(": still here")
        except Exception:  # Counted by not being counted.
            pass
    await asyncio.gather(*(w.close() for w in open_now), return_exceptions=True)
    pipe.send(alive)


def run_tunnels(port, first, pipe):
    asyncio.run(tunnels(port, first, pipe))


def get(port, path):
    """Status, body and time in milliseconds of a GET on a connection of its own."""
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        return answer.status, body, (time.monotonic() - start) * 1000
    except OSError as error:
        return 0, str(error), (time.monotonic() - start) * 1000
    finally:
        connection.close()


def server_status(port):
    _, body, _ = get(port, "/server-status?auto")
    pairs = (line.split(": ", 1) for line in body.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def main(port):
    children = []
    for number in range(PROCESSES):
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.Process(target=run_tunnels, args=(port, number * TUNNELS, theirs),
                                        daemon=True)
        child.start()
        children.append((child, ours))

    # While they open: an ordinary GET every now and then.
    gets = []
    start = time.monotonic()
    while not all(pipe.poll() for _, pipe in children):
        gets.append(get(port, "/"))
        time.sleep(0.05)
        if time.monotonic() - start > 120:
            print("the tunnels did not open within 120 s")
            return False
    seen = collections.Counter()
    for _, pipe in children:
        seen.update(pipe.recv())
    opened_in = time.monotonic() - start

    # All are open: what httpd says, and another GET. A worker that has just answered is busy for
    # a moment longer.
    def busy_besides_us():
        return int(server_status(port).get("BusyWorkers", -1)) - 1
    wait_for(lambda: busy_besides_us() <= 0, 2)
    status = server_status(port)
    gets.append(get(port, "/"))

    alive = 0
    for _, pipe in children:
        pipe.send("close")
    for child, pipe in children:
        alive += pipe.recv()
        child.join(10)

    def tunnels_open():
        return int(server_status(port).get("WSBalanceTunnels", -1))
    all_ended = wait_for(lambda: tunnels_open() == 0, 5)

    want = PROCESSES * TUNNELS
    busy = int(status.get("BusyWorkers", -1))
    answered = all(code == 200 for code, _, _ in gets)
    rows = [
        ("tunnels open at once", f"{alive} of {want}, opened in {opened_in:.1f} s", alive == want),
        ("httpd's own count", status.get("WSBalanceTunnels", "missing"),
         status.get("WSBalanceTunnels") == str(want)),
        ("greetings", f"{seen['greeted']} of {want}", seen["greeted"] == want),
        ("messages echoed", f"{seen['echoed']} of {want}", seen["echoed"] == want),
        ("busy workers meanwhile", f"{busy} of {WORKERS} (1 is the status request itself)",
         busy == 1),
        ("ordinary GETs answered", f"{'yes' if answered else 'NO'}, {len(gets)} of them; slowest "
         f"{max(g[2] for g in gets):.0f} ms, with all tunnels open {gets[-1][2]:.1f} ms", answered),
        ("tunnels after closing", tunnels_open(), all_ended),
    ]
    members = sorted(key[3:] for key in seen if key.startswith("at "))
    rows.append(("tunnels per member", ", ".join(f"{m} {seen['at ' + m]}" for m in members),
                 len(members) == 3))
    for what, value, good in rows:
        print(f"  {'ok ' if good else 'BAD'} {what:24} {value}")
    for key in seen:
        if key.startswith("failed "):
            print(f"      {seen[key]} times: {key[7:]}")
    return all(good for _, _, good in rows)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word.
    sys.exit(0 if main(int(sys.argv[1])) else 1)
