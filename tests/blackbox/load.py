"""Many requests at once, from one thread: asyncio, a connection each, from 127.0.0.2 to .9."""
import asyncio
import json
import resource
import threading
import time
import uuid

from broker import wait_for


def raise_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def post(port, path, body, source=None):
    """(status, headers as text, parsed body); status 0 when the connection ended without answer."""
    text = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(source, 0) if source else None
    )
    try:
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (path.encode(), len(text), text)
        )
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    head, _, payload = answer.partition(b"\r\n\r\n")
    lengths = [l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")]
    if not lengths or len(payload) < int(lengths[0].split(b":")[1]):
        return 0, "", None
    return int(head.split()[1]), head.decode(), json.loads(payload)


def all_at_once(ports, requests, at_once=None):
    """Posts every (path, body), to the ports in turn; at most `at_once` connections at a time. Results in order."""
    raise_descriptors()
    ports = [ports] if isinstance(ports, int) else ports

    async def run():
        gate = asyncio.Semaphore(at_once or len(requests))

        async def one(i, path, body):
            async with gate:
                return await post(ports[i % len(ports)], path, body, f"127.0.0.{2 + i % 8}")

        return await asyncio.gather(*(one(i, p, b) for i, (p, b) in enumerate(requests)))

    return asyncio.run(run())


class Background:
    """Keeps `clients` connections posting, one request after the other, until stop(); each rests for
    `pace` seconds after an answer."""

    def __init__(self, port, clients, make, pace=0):
        self.pace = pace
        self.port, self.clients, self.make = port, clients, make
        self.results, self.stopping = [], None  # (number, status, head, body)
        self.times, self.lasted = [], []  # monotonic s when each result came, and how long it took
        self.next = 0
        self.begun = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        raise_descriptors()
        self.thread.start()
        self.begun.wait()

    async def _client(self):
        while not self.stopping.is_set():
            number, self.next = self.next, self.next + 1
            path, body = self.make(number)
            begun = time.monotonic()
            try:
                result = (number, *await post(self.port, path, body))
            except OSError:  # nobody listens: certainly not accepted
                result = (number, None, "", None)
            self.times.append(time.monotonic())
            self.lasted.append(self.times[-1] - begun)
            self.results.append(result)
            if result[1] is None:
                return
            rest = 0.1 if result[1] == 503 else self.pace  # as Retry-After asks, only sooner
            if rest > 0:
                try:
                    await asyncio.wait_for(self.stopping.wait(), rest)
                except asyncio.TimeoutError:
                    pass

    async def _run(self):
        self.stopping, self.loop = asyncio.Event(), asyncio.get_running_loop()
        self.begun.set()
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    def stop(self):
        try:
            self.loop.call_soon_threadsafe(self.stopping.set)
        except RuntimeError:  # every client has ended: nobody listened any more
            pass
        self.thread.join()
        return self.results


class Traffic(Background):
    """Tasks for the probe, each with an id and a value of its own, until stop()."""

    def __init__(self, port, clients, *, path="/executor/tasks/probe", keys=50, pace=0.005, **more):
        self.sent, self.stamp = {}, uuid.uuid4().hex[:6]
        self.path, self.keys, self.more = path, keys, more
        super().__init__(port, clients, self._task, pace)

    def _task(self, number):
        self.sent[number] = (f"{self.stamp}-{number}", uuid.uuid4().hex)
        task, value = self.sent[number]
        return self.path, {"id": task, "key": f"k{number % self.keys}", "n": value, **self.more}

    def log(self):
        """What history.check() wants."""
        return [(*self.sent[n], s, h, a) for n, s, h, a in list(self.results)]

    def accepted(self):
        return {self.sent[n][0] for n, status, _, _ in list(self.results) if status in (200, 202)}

    def good(self):
        return sum(1 for r in list(self.results) if r[1] in (200, 202))

    def answered(self, more, seconds=60):
        """Waits until `more` further requests were answered 2xx."""
        goal = self.good() + more
        wait_for(lambda: self.good() >= goal, seconds, f"{more} more answers")

    def longest_gap(self, since=0.0):
        """Seconds between two answers 2xx that follow each other."""
        at = [t for t, r in zip(self.times, list(self.results)) if r[1] in (200, 202) and t >= since]
        return max(b - a for a, b in zip(at, at[1:]))
