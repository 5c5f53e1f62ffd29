"""A real taskwired on a port of its own, and requests to it."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAEMON = ROOT / os.environ.get("TASKWIRED", "build/bin/taskwired")
PLUGINS = DAEMON.parent.parent / "lib/taskwire/plugins"
SANITIZED = DAEMON.parent.parent.name in ("asan", "tsan")
PROBE = DAEMON.parent.parent / "tests/plugins/probe.so"


class Setup:
    """A configuration for pods: names of its own on the broker, the probe plugin and its log."""

    def __init__(self, broker, *, topic=None, more_topics=(), **sections):
        name = uuid.uuid4().hex[:8]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskwire-pod-"))
        self.broker, self.group, self.kafka_topic = broker, f"group-{name}", f"probe-{name}"
        self.replies = f"{self.group}.replies"
        self.log = self.folder / "effects"
        settings = {
            "auth": {"mode": "none"},
            "redis": {"url": "none"},
            "kafka": {"brokers": broker if isinstance(broker, str) else broker.address,
                      "group_id": self.group},
            "plugins": {"load": [str(PROBE)], "options": {"probe": {"log": str(self.log)}}},
        }
        for section, values in sections.items():
            settings[section] = {**settings.get(section, {}), **values}
        self.topic = {
            "topic": "PROBE", "kafka_topic": self.kafka_topic, "handler": "probe",
            "route": "/executor/tasks/probe", "key": "/key", **(topic or {}),
        }
        (self.folder / "topics.d").mkdir()
        (self.folder / "taskwire.yaml").write_text(json.dumps(settings))
        for i, one in enumerate([self.topic, *more_topics]):
            (self.folder / "topics.d" / f"{i}.yaml").write_text(json.dumps(one))

    def pod(self, *arguments, **environment):
        return Pod("--config", str(self.folder / "taskwire.yaml"), *arguments, **environment)

    def other_pod(self, **sections):
        """A pod whose configuration differs in these sections; the topics are the same."""
        settings = json.loads((self.folder / "taskwire.yaml").read_text())
        for section, values in sections.items():
            settings[section] = {**settings.get(section, {}), **values}
        path = self.folder / f"{uuid.uuid4().hex[:8]}.yaml"
        path.write_text(json.dumps(settings))
        return Pod("--config", str(path))

    def journal(self):
        """All that the probe wrote, of all pods, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def effects(self):
        return [line for line in self.journal() if not line.startswith("redelivered ")]

    def remove(self):
        shutil.rmtree(self.folder)


class Pod:
    def __init__(self, *arguments, daemon=DAEMON, **environment):
        env = {k: v for k, v in os.environ.items() if k not in ("HOSTNAME", "REDIS_URL")}
        env.update({"PORT": "0"}, **environment)
        self.process = subprocess.Popen(
            [str(daemon), *arguments], stderr=subprocess.PIPE, text=True, env=env
        )
        self.lines, self.port = [], None
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._listening.wait(60) or not self.port:
            self.kill()
            raise AssertionError("".join(self.lines))

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
        for _ in range(3000):
            if self.ask("GET", "/readyz")[0] == 200:
                return self
            gate.wait(0.02)
        raise AssertionError("not ready: " + "".join(self.lines))

    def metric(self, name):
        """The sum of a metric over its labels."""
        text = self.ask("GET", "/metrics")[2]
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
        assert found, name
        return sum(map(float, found))

    def health(self):
        return self.ask("GET", "/kafka/health")[2]

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        return self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._reader.join()
        self.process.stderr.close()
        return status
