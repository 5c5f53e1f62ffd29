"""Many requests on one connection: after the first few the thread that has an answer writes it."""
import json
import signal
import socket
import struct
import threading
import unittest

import broker
from broker import wait_for
from pod import Setup


class Connection:
    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def send(self, *bodies, path="/executor/tasks/probe", headers=""):
        out = b""
        for body in bodies:
            text = json.dumps(body)
            out += (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    f"{headers}Content-Length: {len(text)}\r\n\r\n{text}").encode()
        self.socket.sendall(out)

    def answer(self):
        """(status, headers in lower case, parsed body), or None at the end of the stream."""
        line = self.stream.readline()
        if not line:
            return None
        headers = {}
        while (field := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.stream.read(int(headers["content-length"]))
        return int(line.split()[1]), headers, json.loads(body)

    def ask(self, body, **more):
        self.send(body, **more)
        return self.answer()

    def warm(self):
        for _ in range(5):
            assert self.ask({})[0] == 200
        return self

    def close(self):
        self.stream.close()
        self.socket.close()


class KeepAlive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.setup = Setup(broker.shared(), http={"threads": 16}, limits={"body": "4MiB"})
        cls.pod = cls.setup.pod().wait_ready()

    @classmethod
    def tearDownClass(cls):
        status = cls.pod.stop()
        cls.setup.remove()
        assert status == 0, "".join(cls.pod.lines)

    def connect(self, warm=True, **options):
        connection = Connection(self.pod.port, **options)
        self.addCleanup(connection.close)
        return connection.warm() if warm else connection

    def direct(self):
        return self.pod.metric("taskwire_http_direct_total")

    def test_each_of_many_gets_its_own(self):
        before, connections = self.direct(), [self.connect() for _ in range(6)]
        for number in range(40):
            for i, connection in enumerate(connections):
                connection.send({"id": f"c{i}-{number}", "key": str(i), "n": number})
            for i, connection in enumerate(connections):
                status, headers, body = connection.answer()
                self.assertEqual((status, body["id"]), (200, f"c{i}-{number}"))
                self.assertEqual(body["result"]["echo"]["n"], number)
                self.assertEqual(headers["connection"], "keep-alive")
        self.assertGreater(self.direct() - before, 200)
        wait_for(lambda: self.pod.metric("taskwire_http_busy") == 1, what="only this one is busy")

    def test_pipelined_requests_are_answered_in_order(self):
        connection = self.connect()
        connection.send(*({"id": f"pipe{n}", "key": f"p{n}", "ms": 30 * (4 - n)} for n in range(5)))
        self.assertEqual([connection.answer()[2]["id"] for _ in range(5)],
                         [f"pipe{n}" for n in range(5)])

    def test_errors_too(self):
        connection = self.connect()
        for body, status in (({"do": "fail"}, 500), ({"do": "reject"}, 422), ({"ms": "x"}, 422),
                             ({"id": "late", "key": "late", "ms": 300}, 504), ({}, 200)):
            path = "/executor/tasks/probe" + ("?timeout=50ms" if status == 504 else "")
            got, headers, answer = connection.ask(body, path=path)
            self.assertEqual(got, status, answer)
            if status == 504:
                self.assertEqual(headers["location"], "/executor/tasks/late")
        got, _, answer = connection.ask({"id": "sent"}, path="/kafka/send/PROBE")
        self.assertEqual((got, answer["id"]), (202, "sent"))

    def test_who_closed_its_sending_side_still_gets_its_answer(self):
        connection = self.connect()
        connection.send({"id": "half", "ms": 200})
        connection.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.answer()[2]["id"], "half")
        self.assertIsNone(connection.answer())

    def test_who_asks_to_close_is_closed(self):
        connection = self.connect()
        status, headers, _ = connection.ask({}, headers="Connection: close\r\n")
        self.assertEqual((status, headers["connection"]), (200, "close"))
        self.assertIsNone(connection.answer())

    def test_a_slow_reader_gets_all_of_a_large_answer_and_holds_up_nobody(self):
        slow, quick = self.connect(receive_buffer=4096), self.connect()
        slow.send({"id": "large", "key": "large", "bytes": 900000})
        wait_for(lambda: "end large" in self.setup.effects())
        for _ in range(20):
            self.assertEqual(quick.ask({})[0], 200)
        status, _, body = slow.answer()
        self.assertEqual((status, len(body["result"]["text"])), (200, 900000))
        self.assertEqual(slow.ask({"id": "after"})[2]["id"], "after")

    def test_who_vanishes_while_it_waits_harms_nobody(self):
        gate, other = self.setup.folder / "vanished", self.connect()
        gone = [self.connect() for _ in range(4)]
        for i, connection in enumerate(gone):
            connection.send({"id": f"gone{i}", "key": f"g{i}", "until": str(gate)})
        wait_for(lambda: all(f"begin gone{i}" in self.setup.effects() for i in range(4)))
        for connection in gone:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertEqual(other.ask({})[0], 200)
        gate.touch()
        wait_for(lambda: self.pod.ask("GET", "/executor/tasks/gone3")[2].get("state") == "succeeded")
        self.assertEqual(other.ask({})[0], 200)
        wait_for(lambda: self.pod.metric("taskwire_http_busy") == 1)

    def test_an_idle_connection_is_closed(self):
        connection = self.connect()
        connection.socket.settimeout(10)
        self.assertIsNone(connection.answer())

    def test_a_wait_longer_than_the_idle_time_is_no_idleness(self):
        connection = self.connect()
        self.assertEqual(connection.ask({"id": "long", "ms": 2500})[2]["id"], "long")
        self.assertEqual(connection.ask({"id": "behind"})[2]["id"], "behind")


class Stopping(unittest.TestCase):
    def test_who_waits_is_answered_and_closed(self):
        setup = Setup(broker.shared())
        pod = setup.pod().wait_ready()
        gate = setup.folder / "gate"
        waiting, idle = Connection(pod.port).warm(), Connection(pod.port).warm()
        waiting.send({"id": "last", "until": str(gate)})
        wait_for(lambda: "begin last" in setup.effects())
        pod.process.send_signal(signal.SIGTERM)
        wait_for(lambda: any("stopping" in line for line in pod.lines))
        threading.Timer(0.2, gate.touch).start()
        status, headers, body = waiting.answer()
        self.assertEqual((status, body["id"]), (200, "last"))
        self.assertEqual(headers["connection"], "close")
        self.assertIsNone(waiting.answer())
        self.assertIsNone(idle.answer())
        self.assertEqual(pod.stop(), 0)
        waiting.close()
        idle.close()
        setup.remove()


if __name__ == "__main__":
    unittest.main()
