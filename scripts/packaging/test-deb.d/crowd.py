"""A crowd of tunnels through httpd, for scripts/packaging/test-deb.

    crowd.py URL COUNT       opens that many, then obeys lines of stdin and answers each with one line:
        echo     a message on each tunnel; how many came back right, in 30 s at most
        open     how many tunnels neither side has closed
        count N  how many are open, when it is N or after 30 s
        end      closes all and ends
"""
import asyncio
import sys

import websockets

AT_ONCE = 10
PATIENCE = 30


async def open_one(url, gate):
    async with gate:
        return await websockets.connect(url, ping_interval=None, compression=None,
                                        open_timeout=PATIENCE)


async def echo_one(websocket, message):
    try:
        await websocket.send(message)
        return await asyncio.wait_for(websocket.recv(), PATIENCE) == message
    except (OSError, asyncio.TimeoutError, websockets.ConnectionClosed):
        return False


async def crowd(url, count):
    gate = asyncio.Semaphore(AT_ONCE)
    opened = await asyncio.gather(*(open_one(url, gate) for _ in range(count)),
                                  return_exceptions=True)
    failures = [o for o in opened if isinstance(o, BaseException)]
    tunnels = [o for o in opened if not isinstance(o, BaseException)]
    if failures:
        print(f"{len(failures)} did not open, one of them: {failures[0]!r}", file=sys.stderr)

    def still_open():
        return sum(1 for t in tunnels if t.close_code is None)

    loop = asyncio.get_running_loop()
    print(f"open {still_open()}", flush=True)
    number = 0
    while True:
        words = (await loop.run_in_executor(None, sys.stdin.readline)).split()
        if not words or words[0] == "end":
            await asyncio.gather(*(t.close() for t in tunnels), return_exceptions=True)
            print("ended", flush=True)
            return
        number += 1
        if words[0] == "echo":
            results = await asyncio.gather(*(echo_one(t, f"message {number} of tunnel {i}")
                                             for i, t in enumerate(tunnels)))
            print(f"echoed {sum(results)}", flush=True)
        else:
            deadline = loop.time() + PATIENCE
            while words[0] == "count" and still_open() != int(words[1]) and loop.time() < deadline:
                await asyncio.sleep(0.05)
            print(f"open {still_open()}", flush=True)


if __name__ == "__main__":
    asyncio.run(crowd(sys.argv[1], int(sys.argv[2])))
