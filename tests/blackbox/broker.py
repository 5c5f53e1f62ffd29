"""A real Kafka: one KRaft node on loopback, in a folder of its own, and kcat beside it."""
import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
JARS = ROOT / "build/kafka/lib/*"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds=30, what="it"):
    """Asks until the condition holds; a poll with a bound."""
    gate = threading.Event()
    for _ in range(int(seconds * 50)):
        if result := condition():
            return result
        gate.wait(0.02)
    raise AssertionError(f"{what} did not come to be within {seconds} s")


class Broker:
    """Keeps its ports and its data over stop() and start()."""

    def __init__(self, **properties):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskwire-kafka-"))
        self.port, controller = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "log.retention.bytes": "67108864",
            **{k.replace("_", "."): v for k, v in properties.items()},
        }
        (self.folder / "server.properties").write_text(
            "".join(f"{k}={v}\n" for k, v in settings.items())
        )
        # not uuid4 alone: what begins with a dash is taken for an option
        cluster = base64.urlsafe_b64encode(b"tw" + uuid.uuid4().bytes[2:]).decode().rstrip("=")
        subprocess.run(
            [*self._java("kafka.tools.StorageTool"), "format", "-t", cluster, "-c",
             "server.properties"],
            cwd=self.folder, check=True, capture_output=True, timeout=120,
        )

    @staticmethod
    def _java(main):
        return ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(JARS), main]

    def start(self, wait=True):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*self._java("kafka.Kafka"), "server.properties"],
                cwd=self.folder, stdout=log, stderr=log,
            )
        if wait:
            wait_for(self.answers, 60, "the broker")
        return self

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-4000:]
        done = subprocess.run(
            ["kcat", "-b", self.address, "-L", "-m", "1"], capture_output=True, timeout=60
        )
        return done.returncode == 0

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(30)

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder)

    def kcat(self, *arguments, stdin=None):
        done = subprocess.run(
            ["kcat", "-b", self.address, *arguments], input=stdin, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def records(self, topic, *arguments):
        """All records of a topic as kcat's JSON: key, payload, headers, partition, offset."""
        out = self.kcat("-C", "-t", topic, "-e", "-q", "-J", *(arguments or ("-o", "beginning")))
        return [json.loads(line) for line in out.decode(errors="surrogateescape").split("\n") if line]

    @staticmethod
    def headers(record):
        """{name: bytes} of a record; of repeated names the last."""
        names, values = record["headers"][::2], record["headers"][1::2]
        return {n: v.encode(errors="surrogateescape") for n, v in zip(names, values)}

    def produce(self, topic, value, *headers, key=None, partition=None):
        arguments = ["-P", "-t", topic]
        for header in headers:
            arguments += ["-H", header]
        if key is not None:
            arguments += ["-k", key]
        if partition is not None:
            arguments += ["-p", str(partition)]
        self.kcat(*arguments, stdin=value.encode())

    def _tool(self, main, *arguments):
        done = subprocess.run(
            [*self._java(main), "--bootstrap-server", self.address, *arguments],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def create(self, topic, partitions):
        self._tool("org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic,
                   "--partitions", str(partitions))

    def committed(self, group, topic):
        """{partition: offset} as the group has committed it."""
        out = self._tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                         "--group", group, "--describe", "--offsets")
        rows = [line.split() for line in out.splitlines()]
        return {int(r[2]): int(r[3]) for r in rows if len(r) > 3 and r[1] == topic and r[3].isdigit()}


_shared = None


def shared():
    """The one broker of all tests that leave it in peace; test_zz ends with the process."""
    global _shared
    if _shared is None:
        import atexit

        _shared = Broker(group_min_session_timeout_ms="1000").start()
        atexit.register(_shared.remove)
    return _shared
