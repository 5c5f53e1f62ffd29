"""A real Redis on loopback, in a folder of its own; replicas and a Sentinel too. And a word with it."""
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from broker import free_port, wait_for


class RedisError(Exception):
    """What Redis answered with a minus."""


class Redis:
    """Keeps its port and its folder over stop() and start(); its data only with `appendonly`."""

    PROGRAM = "redis-server"

    def __init__(self, *, appendonly=False, password=None, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskwire-redis-"))
        self.port, self.password, self.process = free_port(), password, None
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.address}"
        lines = {
            "bind": "127.0.0.1", "port": self.port, "dir": self.folder, "save": '""',
            "appendonly": "yes" if appendonly else "no", "appendfsync": "always",
            **{k.replace("_", "-"): v for k, v in settings.items()},
        }
        if password is not None:
            lines["requirepass"] = password
        self._write("".join(f"{k} {v}\n" for k, v in lines.items()))

    def _write(self, text):
        (self.folder / "conf").write_text(text)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.PROGRAM, str(self.folder / "conf")], stdout=log, stderr=log
            )
        wait_for(self._answers, 20, self.PROGRAM)
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False
        except RedisError as error:
            assert str(error).startswith("LOADING"), error
            return False

    def ask(self, *words, user=None, password=None):
        """One command on a connection of its own: text, number, list or None; or RedisError."""
        password = password or self.password
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rb") as f:
            if password is not None:
                s.sendall(_encode("AUTH", *([user] if user else []), password))
                _decode(f)
            s.sendall(_encode(*words))
            return _decode(f)

    def keys(self, pattern):
        return self.ask("KEYS", pattern)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def forget(self):
        """While it is not running: what it had written."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    def follow(self, master):
        self.ask("REPLICAOF", "127.0.0.1", str(master.port))
        wait_for(lambda: "master_link_status:up" in self.ask("INFO", "replication"), 20, "the replica")

    def lead(self):
        self.ask("REPLICAOF", "NO", "ONE")


class Sentinel(Redis):
    """One that watches `master` under the name mymaster, alone: its own word is enough."""

    PROGRAM = "redis-sentinel"

    def __init__(self, master):
        super().__init__()
        self.url = f"redis+sentinel://{self.address}/mymaster"
        self._write(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 1000\n"
            "sentinel failover-timeout mymaster 10000\n"
        )

    def master(self):
        """Its port."""
        return int(self.ask("SENTINEL", "get-master-addr-by-name", "mymaster")[1])


def _encode(*words):
    texts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(t), t) for t in texts)


def _decode(f):
    line = f.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("Redis ended the connection")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise RedisError(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else f.read(int(rest) + 2)[:-2].decode(errors="surrogateescape")
    if kind == b"*":
        return None if rest == "-1" else [_decode(f) for _ in range(int(rest))]
    return rest


_shared = None


def shared():
    """The one Redis of all tests that leave it in peace."""
    global _shared
    if _shared is None:
        import atexit

        _shared = Redis().start()
        atexit.register(_shared.remove)
    return _shared
