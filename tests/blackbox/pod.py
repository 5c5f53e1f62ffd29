"""A real taskwired on a port of its own, and requests to it."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAEMON = ROOT / os.environ.get("TASKWIRED", "build/bin/taskwired")


class Pod:
    def __init__(self, *arguments, **environment):
        env = {k: v for k, v in os.environ.items() if k not in ("HOSTNAME", "REDIS_URL")}
        env.update({"PORT": "0"}, **environment)
        self.process = subprocess.Popen(
            [str(DAEMON), *arguments], stderr=subprocess.PIPE, text=True, env=env
        )
        self.lines, self.port = [], None
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listening.wait(30) and self.port, "".join(self.lines)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            match = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if match:
                self.port = int(match.group(1))
                self._listening.set()
        self._listening.set()

    def ask(self, method, path, body=None, **headers):
        """Returns (status, headers, parsed body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        given = {"Content-Type": "application/json"} if body is not None else {}
        given.update({k.replace("_", "-"): v for k, v in headers.items()})
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        kind = answer.getheader("Content-Type", "")
        return answer.status, answer.headers, json.loads(text) if "json" in kind else text.decode()

    def post(self, path, body, **headers):
        status, _, answer = self.ask("POST", path, body, **headers)
        return status, answer

    def raw(self, data):
        """Sends bytes on one connection, and returns all that comes until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
            s.sendall(data)
            out = b""
            while chunk := s.recv(65536):
                out += chunk
            return out

    def wait_ready(self):
        """/readyz is asked until it says 200; a poll with a bound."""
        gate = threading.Event()
        for _ in range(600):
            if self.ask("GET", "/readyz")[0] == 200:
                return self
            gate.wait(0.05)
        raise AssertionError("not ready: " + "".join(self.lines))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        self._reader.join()
        self.process.stderr.close()
        return status
