"""A client that costs little, for serve.py: requests that were built beforehand, on raw connections.

    python benchmarks/_load.py REQUESTS PORT --connections 32 --seconds 10 [--count N] [--rate R]

REQUESTS is a file of whole HTTP requests, each after its length in eight bytes. Without --rate every
connection asks again as soon as it has its answer. With --rate so many requests per second are begun,
whatever the server does, each on a connection that is free or new. Prints JSON: statuses (0: none) and
latencies in ms.
"""

import argparse
import asyncio
import json
import time
from collections import Counter, deque
from pathlib import Path


class Connection(asyncio.Protocol):
    """One connection; `ask` gives the status of the answer, 0 where there is none."""

    def __init__(self) -> None:
        self.got = b""
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        if len(body) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
            return
        self.got = b""
        if b"connection: close" in head.lower():
            self.is_open = False
            self.transport.close()
        if not self.answer.done():
            self.answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_open = False
        if not self.answer.done():
            self.answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


class Load:
    """Asks, and remembers."""

    def __init__(self, requests: list[bytes], port: int) -> None:
        self.requests, self.port, self.asked = requests, port, 0
        self.statuses: Counter[int] = Counter()
        self.latencies: dict[int, list[float]] = {}

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, found = await loop.create_connection(Connection, "127.0.0.1", self.port)
        return found

    async def one(self, connection: Connection) -> None:
        self.asked += 1
        began = time.perf_counter()
        status = await connection.ask(self.requests[self.asked % len(self.requests)])
        self.statuses[status] += 1
        self.latencies.setdefault(status, []).append(1000 * (time.perf_counter() - began))

    async def closed(self, connections: int, until: float, count: int) -> None:
        async def client() -> None:
            own = await self.connect()
            while time.perf_counter() < until and self.asked < count:
                if not own.is_open:
                    own = await self.connect()
                await self.one(own)

        await asyncio.gather(*(client() for _ in range(connections)))

    async def open(self, rate: float, until: float) -> None:
        free: deque[Connection] = deque()
        running: set[asyncio.Task[None]] = set()

        async def one() -> None:
            try:
                own = free.pop() if free else await self.connect()
            except OSError:
                self.statuses[0] += 1
                return
            if not own.is_open:
                own = await self.connect()
            await self.one(own)
            if own.is_open:
                free.append(own)

        due = time.perf_counter()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / rate
        await asyncio.gather(*running)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--count", type=int, default=10**12)
    parser.add_argument("--rate", type=float)
    asked = parser.parse_args()
    data, found, at = asked.requests.read_bytes(), [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "big")
        found.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    load = Load(found, asked.port)
    began = time.perf_counter()
    if asked.rate is None:
        await load.closed(asked.connections, began + asked.seconds, asked.count)
    else:
        await load.open(asked.rate, began + asked.seconds)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "statuses": {str(code): number for code, number in sorted(load.statuses.items())},
                "per_second": load.statuses[200] / seconds,
                "latencies": {str(code): _quantiles(own) for code, own in sorted(load.latencies.items())},
            }
        )
    )


def _quantiles(values: list[float]) -> dict[str, float]:
    own = sorted(values)
    return {
        name: own[min(len(own) - 1, int(share * len(own)))]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


asyncio.run(main())
