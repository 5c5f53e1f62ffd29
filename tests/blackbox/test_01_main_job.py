"""The main job on the embedded broker, as a user would have it."""
import concurrent.futures
import re
import unittest

from pod import Pod


class MainJob(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pod = Pod("--dev").wait_ready()

    @classmethod
    def tearDownClass(cls):
        status = cls.pod.stop()
        assert status == 0, (status, "".join(cls.pod.lines))

    def test_the_reference_example_is_accepted(self):
        task = {"id": "task_123", "topic": "USER_LOGIN", "startTime": 1700000000.123}
        for body in (task, {"value": task}):
            status, answer = self.pod.post("/kafka/request/USER_LOGIN", body)
            self.assertEqual((status, answer["id"], answer["status"]), (200, "task_123", "success"))
        status, _, known = self.pod.ask("GET", "/executor/tasks/task_123")
        self.assertEqual((status, known["state"], known["attempts"]), (200, "succeeded", 1))

    def test_a_purchase_must_add_up(self):
        item = {"sku": "pen", "quantity": 3, "price": 4.1}
        body = {"userId": "u", "currency": "EUR", "amount": 12.3, "items": [item]}
        status, answer = self.pod.post("/executor/tasks/purchase", body)
        self.assertEqual((status, answer["result"]["total"]), (200, 12.3))
        status, answer = self.pod.post("/executor/tasks/purchase", {**body, "amount": 12.31})
        self.assertEqual((status, answer["errors"][0]["pointer"]), (422, "/amount"))
        status, answer = self.pod.post("/executor/tasks/purchase", {**body, "amount": -1})
        self.assertEqual(status, 422)
        body["items"] = [{**item, "price": 4.101}]
        status, answer = self.pod.post("/executor/tasks/purchase", body)
        self.assertEqual(answer["errors"][0]["pointer"], "/items/0/price")

    def test_a_login_in_the_future_is_refused(self):
        status, answer = self.pod.post(
            "/executor/tasks/user-login", {"loginTime": "2200-01-01T00:00:00Z"}
        )
        self.assertEqual((status, answer["errors"][0]["pointer"]), (422, "/loginTime"))

    def test_fire_and_forget_tells_where_it_is_and_leaves_no_state(self):
        status, answer = self.pod.post("/kafka/send/HELLO", {"id": "forgotten", "name": "Ann"})
        self.assertEqual((status, sorted(answer)), (202, ["id", "offset", "partition", "topic"]))
        self.assertEqual(self.pod.ask("GET", "/executor/tasks/forgotten")[0], 404)

    def test_a_batch_answers_item_by_item(self):
        status, answer = self.pod.post(
            "/executor/tasks/batch",
            [{"topic": "HELLO", "name": "a"}, {"topic": "NO"}, {"topic": "HELLO"}],
        )
        self.assertEqual((status, [i["httpStatus"] for i in answer]), (200, [200, 422, 422]))
        self.assertEqual(self.pod.post("/executor/tasks/batch", [])[0], 422)

    def test_400_requests_at_once_each_get_their_own_answer(self):
        def one(i):
            status, answer = self.pod.post("/executor/tasks/hello", {"id": f"h{i}", "name": f"n{i}"})
            return status, answer.get("id"), answer.get("result", {}).get("greeting")

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            for i, got in enumerate(pool.map(one, range(400))):
                self.assertEqual(got, (200, f"h{i}", f"n{i}"))

    def test_wrong_json_is_located(self):
        for body, place in (
            ('{"a":1,"a":2}', "column 8"),
            ('{"name":NaN}', "column 9"),
            ('{"name":"\ud800"}'.encode("utf-8", "surrogatepass"), "malformed UTF-8"),
            ("[" * 100, "nested too deeply"),
            ('{"n":123456789012345678901234567890}', "64 bits"),
        ):
            status, answer = self.pod.post("/kafka/request/HELLO", body)
            self.assertEqual(status, 400, body)
            self.assertIn(place, answer["detail"])

    def test_messages_have_their_rules(self):
        for body in ({"value": 1}, {"key": 1, "value": {}}, {"value": {}, "headers": {"kafka_x": "1"}}):
            self.assertEqual(self.pod.post("/kafka/send/HELLO", body)[0], 422, body)
        self.assertEqual(
            self.pod.post("/kafka/request/HELLO", {"topic": "PURCHASE", "name": "x"})[0], 422
        )

    def test_statuses_of_http(self):
        ask = self.pod.ask
        self.assertEqual(ask("GET", "/nowhere")[0], 404)
        self.assertEqual(ask("POST", "/kafka/send/NOPE", {})[0], 404)
        status, headers, _ = ask("GET", "/kafka/send/HELLO")
        self.assertEqual((status, headers["Allow"]), (405, "POST, OPTIONS"))
        self.assertEqual(ask("POST", "/kafka/send/HELLO", "{}", Content_Type="text/plain")[0], 415)
        self.assertEqual(ask("GET", "/kafka/health", Accept="text/html")[0], 406)
        self.assertEqual(ask("POST", "/kafka/send/HELLO", "x" * 1100000)[0], 413)

    def test_pages(self):
        self.assertEqual(self.pod.ask("GET", "/livez")[0], 200)
        self.assertEqual(self.pod.ask("GET", "/kafka/health")[2]["status"], "ok")
        topics = self.pod.ask("GET", "/kafka/topics")[2]["topics"]
        self.assertEqual([t["topic"] for t in topics], ["HELLO", "PURCHASE", "USER_LOGIN"])
        self.assertIn("taskwire_kafka_up 1\n", self.pod.ask("GET", "/metrics")[2])

    def test_the_filter_on_raw_sockets(self):
        head = b"POST /kafka/send/HELLO HTTP/1.1\r\nContent-Type: application/json\r\n"
        for data, status in (
            (head + b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            (head + b"Host: a\r\n\r\n", 411),
            (head + b"Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
            (head + b"Host: a\r\nContent-Length: +2\r\n\r\n{}", 400),
            (head + b"Host: a\r\nContent-Length : 2\r\n\r\n{}", 400),
            (head + b"Host: a\r\nX: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}", 400),
            (head + b"Content-Length: 2\r\n\r\n{}", 400),
            (head + b"Host: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}", 400),
            (b"GET /livez%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 80 + b"\r\n", 431),
            (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ):
            answer = self.pod.raw(data)
            self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", answer), [b"%d" % status], data[:150])
        for size, status in ((20000, b"431"), (40000, b"400")):  # limits.header, and twice that
            data = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * size + b"\r\n\r\n"
            self.assertIn(b"HTTP/1.1 " + status, self.pod.raw(data))
        self.assertEqual(self.pod.ask("GET", "/livez")[0], 200)

    def test_pipelined_requests_get_one_answer_each(self):
        one = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        self.assertEqual(self.pod.raw(one + one + last).count(b"HTTP/1.1 200"), 3)

    def test_a_timeout_says_so(self):
        status, answer = self.pod.post("/kafka/request/HELLO?timeout=nonsense", {"name": "x"})
        self.assertEqual(status, 400)


if __name__ == "__main__":
    unittest.main()
