"""What slow, hasty and greedy clients get, on raw sockets; and what the gateway says when it is full."""
import re
import select
import socket
import threading
import time
import unittest

from broker import wait_for
from pod import Setup

HEAD = b"POST /executor/tasks/probe HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.setup = Setup(
            "127.0.0.1:1",
            http={"request_timeout": "700ms", "body_timeout": "1s", "keep_alive_timeout": "300ms"},
            limits={"pending": 3, "body": "64KiB"},
        )
        cls.pod = cls.setup.pod("--dev").wait_ready()

    @classmethod
    def tearDownClass(cls):
        assert cls.pod.stop() == 0, "".join(cls.pod.lines)
        cls.setup.remove()

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.pod.port), timeout=30)
        self.addCleanup(s.close)
        return s

    @staticmethod
    def rest(s):
        out = b""
        while chunk := s.recv(65536):
            out += chunk
        return out

    def test_a_stalled_body_is_408(self):
        s = self.connect()
        s.sendall(HEAD + b"Content-Length: 10\r\n\r\n{")
        begun = time.monotonic()
        self.assertIn(b"HTTP/1.1 408", self.rest(s))
        self.assertLess(time.monotonic() - begun, 3)

    def test_a_dripping_body_is_cut(self):
        s = self.connect()
        s.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        begun, out = time.monotonic(), b""
        while True:  # a byte a twentieth of a second; each read by itself is in time
            readable, _, _ = select.select([s], [], [], 0.05)
            if readable:
                out = self.rest(s)
                break
            s.sendall(b" ")
        self.assertIn(b"HTTP/1.1 408", out)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertGreaterEqual(self.pod.metric("taskwire_http_body_timeouts_total"), 1)

    def test_a_dripping_header_is_closed(self):
        s = self.connect()
        begun = time.monotonic()
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
        try:
            while not select.select([s], [], [], 0.05)[0]:
                s.sendall(b"X")
        except ConnectionError:
            pass
        self.assertLess(time.monotonic() - begun, 5)

    def test_expect_continue(self):
        s = self.connect()
        body = b'{"id":"expected"}'
        s.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        self.assertEqual(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(body)
        self.assertIn(b"HTTP/1.1 200", s.recv(65536))

    def test_who_expects_to_send_too_much_is_told_before(self):
        s = self.connect()
        s.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        self.assertTrue(s.recv(65536).startswith(b"HTTP/1.1 413"))

    def test_a_body_too_large_is_read_away_and_answered_once(self):
        s = self.connect()
        s.sendall(HEAD + b"Content-Length: 2000000\r\n\r\n" + b" " * 2000000)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", self.rest(s)), [b"413"])

    def test_nothing_behind_a_refusal_is_taken_for_a_request(self):
        s = self.connect()
        s.sendall(HEAD + b"Content-Length: 5, 5\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", self.rest(s)), [b"400"])

    def test_an_idle_connection_is_closed(self):
        s = self.connect()
        s.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(b"Connection: keep-alive", s.recv(65536))
        begun = time.monotonic()
        self.assertEqual(s.recv(100), b"")
        self.assertLess(time.monotonic() - begun, 3)

    def test_head_has_no_body_and_405_says_what_is_allowed(self):
        answer = self.pod.raw(b"HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200") and body == b"", answer)
        for method, path, allowed in (
            ("DELETE", "/livez", "GET, HEAD, OPTIONS"),
            ("PUT", "/kafka/send/PROBE", "POST, OPTIONS"),
            ("POST", "/executor/tasks/some-id", "GET, HEAD, OPTIONS"),
        ):
            status, headers, _ = self.pod.ask(method, path)
            self.assertEqual((status, headers["Allow"]), (405, allowed), path)

    def test_answers_say_nothing_of_the_server(self):
        for path in ("/livez", "/nowhere", "/kafka/send/NO"):
            _, headers, _ = self.pod.ask("GET", path)
            self.assertIsNone(headers["Server"])
            self.assertIsNotNone(headers["Date"])

    def test_echoed_values_break_no_header_and_no_line(self):
        status, headers, answer = self.pod.ask("GET", "/executor/tasks/%0d%0aX-Evil:1")
        self.assertEqual(status, 400)
        self.assertIsNone(headers["X-Evil"])
        status, answer = self.pod.post("/executor/tasks/probe", {"id": "a\r\nb"})
        self.assertEqual((status, answer["errors"][0]["pointer"]), (422, "/id"))

    def test_the_full_pending_table_is_503_and_recovers(self):
        gate, out = self.setup.folder / "full", []

        def wait(n):
            out.append(self.pod.post("/executor/tasks/probe", {"id": f"w{n}", "key": f"{n}", "until": str(gate)}))

        threads = [threading.Thread(target=wait, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: self.pod.ask("GET", "/kafka/health")[2]["pending"] == 3)
        status, headers, answer = self.pod.ask("POST", "/executor/tasks/probe", {"id": "beyond"})
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertEqual(answer["type"], "urn:taskwire:problem:overloaded")
        status, answers = self.pod.post("/executor/tasks/batch", [{"topic": "PROBE"}] * 2)
        self.assertEqual((status, [a["httpStatus"] for a in answers]), (200, [503, 503]))
        gate.touch()
        for thread in threads:
            thread.join()
        self.assertEqual([status for status, _ in out], [200] * 3)
        self.assertGreaterEqual(self.pod.metric("taskwire_limit_pending_total"), 1)
        self.assertEqual(self.pod.post("/executor/tasks/probe", {"id": "beyond"})[0], 200)

    def test_waits(self):
        gate = self.setup.folder / "waits"
        for path, header, seconds in (
            ("?timeout=150ms", None, 0.15),
            ("?timeout=150", None, 0.15),
            ("", "wait=1", 1),
            ("", "respond-soon; wait=1", 1),
        ):
            headers = {"Prefer": header} if header else {}
            begun = time.monotonic()
            status, answer = self.pod.post(
                f"/executor/tasks/probe{path}", {"key": path + str(header), "until": str(gate)}, **headers
            )
            took = time.monotonic() - begun
            self.assertEqual(status, 504, answer)
            self.assertTrue(seconds <= took < seconds + 1, took)
        gate.touch()

    def test_metrics_count_what_is_asked(self):
        before = self.pod.metric("taskwire_http_requests_total")
        self.pod.ask("GET", "/livez")
        self.assertGreater(self.pod.metric("taskwire_http_requests_total"), before)
        self.assertEqual(self.pod.ask("GET", "/kafka/health")[2]["pendingLimit"], 3)


if __name__ == "__main__":
    unittest.main()
