"""A member of the demo: greets every client with its own name and echoes what it is sent."""
import asyncio
import logging
import signal
import sys

import websockets


async def serve(name, port):
    async def converse(websocket):
        try:
            await websocket.send(f"{name}: hello")
            async for message in websocket:
                await websocket.send(f"{name}: {message}")
        except websockets.ConnectionClosed:
            pass  # The page was closed or reloaded.

    ended = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
    async with websockets.serve(converse, "127.0.0.1", port, ping_interval=None, backlog=1024,
                                compression=None, close_timeout=1):
        await ended


if __name__ == "__main__":
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
    except asyncio.CancelledError:
        pass
