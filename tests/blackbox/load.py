"""Many requests at once, from one thread: asyncio, a connection each, from 127.0.0.2 to .9."""
import asyncio
import json
import resource
import threading


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
    if not head:
        return 0, "", None
    return int(head.split()[1]), head.decode(), json.loads(payload)


def all_at_once(port, requests, at_once=None):
    """Posts every (path, body); at most `at_once` connections at a time. Results in order."""
    raise_descriptors()

    async def run():
        gate = asyncio.Semaphore(at_once or len(requests))

        async def one(i, path, body):
            async with gate:
                return await post(port, path, body, f"127.0.0.{2 + i % 8}")

        return await asyncio.gather(*(one(i, p, b) for i, (p, b) in enumerate(requests)))

    return asyncio.run(run())


class Background:
    """Keeps `clients` connections posting, one request after the other, until stop()."""

    def __init__(self, port, clients, make):
        self.port, self.clients, self.make = port, clients, make
        self.results, self.stopping = [], None  # (number, status, head, body)
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
            try:
                self.results.append((number, *await post(self.port, path, body)))
            except OSError:  # nobody listens: certainly not accepted
                self.results.append((number, None, "", None))
                return
            if self.results[-1][1] == 503:  # as Retry-After asks, only sooner
                try:
                    await asyncio.wait_for(self.stopping.wait(), 0.1)
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
