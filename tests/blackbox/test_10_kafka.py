"""The main job on a real broker."""
import collections
import json
import pathlib
import threading
import time
import unittest
import uuid

import broker
import load
from pod import SANITIZED, Setup


class RealBroker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = broker.shared()
        cls.setup = Setup(
            cls.broker,
            topic={"partitions": 2, "timeout": "60s"},
            more_topics=[{"topic": "QUIET", "kafka_topic": f"quiet-{uuid.uuid4().hex[:8]}"}],
            http={"listen_backlog": 4096, "connection_queue": 4096},
        )
        cls.pod = cls.setup.pod().wait_ready()

    @classmethod
    def tearDownClass(cls):
        status = cls.pod.stop()
        cls.setup.remove()
        assert status == 0, "".join(cls.pod.lines)

    def request(self, path="/executor/tasks/probe", **body):
        return self.pod.post(path, body)

    def test_2000_requests_at_once_each_get_their_own_answer(self):
        requests = [
            ("/executor/tasks/probe", {"id": f"many-{i}", "key": f"k{i % 97}", "n": str(uuid.uuid4())})
            for i in range(2000)
        ]
        answers = load.all_at_once(self.pod.port, requests)
        for (_, body), (status, _, answer) in zip(requests, answers):
            self.assertEqual(status, 200, answer)
            self.assertEqual((answer["id"], answer["result"]["echo"]["n"]), (body["id"], body["n"]))

    def test_fire_and_forget_stands_at_the_offset_that_was_told(self):
        body = {
            "key": "the key",
            "headers": {"x-mine": "räksmörgås"},
            "value": {"id": "sent", "text": "two  blanks", "n": 1e2},
        }
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        status, answer = self.pod.post("/kafka/send/PROBE", body, traceparent=trace)
        self.assertEqual(status, 202)
        record = self.broker.records(
            self.setup.kafka_topic, "-p", str(answer["partition"]), "-o", str(answer["offset"]), "-c", "1"
        )[0]
        self.assertEqual((record["key"], record["offset"]), ("the key", answer["offset"]))
        headers = dict(zip(record["headers"][::2], record["headers"][1::2]))
        self.assertEqual(
            headers,
            {"content-type": "application/json", "traceparent": trace, "x-mine": "räksmörgås"},
        )
        self.assertRegex(
            record["payload"],
            r'^\{"topic":"PROBE","startTime":[0-9.]+,"id": "sent", "text": "two  blanks", "n": 100.0\}$',
        )

    def test_a_request_carries_what_other_frameworks_read(self):
        self.assertEqual(self.request(id="headers", key="h")[0], 200)
        record = next(
            r for r in self.broker.records(self.setup.kafka_topic) if '"headers"' in r["payload"]
        )
        headers = dict(zip(record["headers"][::2], record["headers"][1::2]))
        uuid.UUID(headers["kafka_correlationId"])
        self.assertEqual(headers["kafka_replyTopic"], self.setup.replies)
        self.assertNotIn("kafka_replyPartition", headers)
        replies = [
            dict(zip(r["headers"][::2], r["headers"][1::2]))
            for r in self.broker.records(self.setup.replies)
        ]
        mine = [h for h in replies if h["kafka_correlationId"] == headers["kafka_correlationId"]]
        self.assertEqual(len(mine), 1)
        self.assertEqual(mine[0]["taskwire-outcome"], "ok")
        self.assertEqual(mine[0]["kafka_nest-is-disposed"], "\0")

    def test_504_says_timeout_and_the_result_is_there_later(self):
        gate = self.setup.folder / "late"
        status, answer = self.request(
            "/executor/tasks/probe?timeout=100ms", id="late", key="late", until=str(gate)
        )
        self.assertEqual((status, answer["id"]), (504, "late"))
        self.assertIn("timeout", answer["detail"])
        self.assertEqual(self.pod.ask("GET", "/executor/tasks/late")[2]["state"], "pending")
        gate.touch()

        def known():
            status, _, task = self.pod.ask("GET", "/executor/tasks/late")
            return status == 200 and task["state"] == "succeeded" and task

        self.assertEqual(broker.wait_for(known)["result"]["echo"]["id"], "late")

    def test_a_second_live_task_of_the_same_id_is_409(self):
        gate = self.setup.folder / "twice"
        first = threading.Thread(
            target=lambda: out.append(self.request(id="twice", key="twice", until=str(gate)))
        )
        out = []
        first.start()
        broker.wait_for(lambda: "begin twice" in self.setup.effects())
        status, answer = self.request(id="twice", key="other")
        gate.touch()
        first.join()
        self.assertEqual((status, answer["type"]), (409, "urn:taskwire:problem:duplicate-task"))
        self.assertEqual(out[0][0], 200)
        self.assertEqual(self.setup.effects().count("begin twice"), 1)

    def test_a_batch_with_bad_items_answers_in_order(self):
        tasks = [
            {"topic": "PROBE", "id": "b0", "key": "b"},
            {"topic": "PROBE", "ms": "no number"},
            {"topic": "NOWHERE"},
            "no object",
            {"topic": "PROBE", "id": "b4", "key": "b", "do": "fail"},
            {"topic": "PROBE", "id": "b5", "key": "b", "do": "reject"},
            {"topic": "PROBE", "id": "b6", "key": "b"},
        ]
        for body in (tasks, {"tasks": tasks}):
            status, answer = self.pod.post("/executor/tasks/batch", body)
            self.assertEqual(status, 200)
            self.assertEqual(
                [item["httpStatus"] for item in answer], [200, 422, 422, 422, 500, 422, 200]
            )
            self.assertEqual([item.get("id") for item in answer if item["status"] == "success"],
                             ["b0", "b6"])

    def test_misbehaving_handlers_are_answered(self):
        for what, status, error in (
            ("reject", 422, "/do: is what it asks for"),
            ("fail", 500, "as it was told"),
            ("retry", 500, "the handler failed"),
            ("garbage", 500, "the handler failed"),
        ):
            got, answer = self.request(id=f"bad-{what}", do=what)
            self.assertEqual((got, answer["status"], answer["error"]), (status, "error", error))
        self.assertEqual(self.request(do="defer", id="deferred")[1]["result"]["echo"]["id"], "deferred")

    def test_a_reply_too_large_becomes_a_small_error(self):
        status, answer = self.request(id="large", key="large", bytes=3000000)
        self.assertEqual((status, answer["id"], answer["status"]), (500, "large", "error"))
        self.assertEqual(self.request(id="next", key="large")[0], 200)

    def test_foreign_forged_and_repeated_replies_reach_nobody(self):
        replies = self.setup.replies
        before = {
            m: self.pod.metric(f"taskwire_replies_{m}_total")
            for m in ("foreign", "malformed", "repeated")
        }
        self.broker.produce(replies, '{"id":"x","status":"success"}',
                            f"kafka_correlationId={uuid.uuid4()}")
        self.broker.produce(replies, "no correlation id at all")
        self.broker.produce(replies, "{}", "kafka_correlationId=garbage")
        status, answer = self.request(id="repeated", key="r")
        self.assertEqual(status, 200)
        record = next(
            r for r in self.broker.records(self.setup.kafka_topic) if '"repeated"' in r["payload"]
        )
        headers = dict(zip(record["headers"][::2], record["headers"][1::2]))
        self.broker.produce(replies, '{"id":"repeated","status":"error","error":"forged"}',
                            f"kafka_correlationId={headers['kafka_correlationId']}")
        for name, more in (("foreign", 1), ("malformed", 2), ("repeated", 1)):
            broker.wait_for(
                lambda: self.pod.metric(f"taskwire_replies_{name}_total") == before[name] + more,
                what=name,
            )
        self.assertEqual(
            self.pod.ask("GET", "/executor/tasks/repeated")[2]["state"], "succeeded"
        )

    def test_a_topic_without_handler_is_answered_by_others(self):
        topic = json.loads((self.setup.folder / "topics.d/1.yaml").read_text())["kafka_topic"]
        for number, (value, headers, status, expected) in enumerate((
            ('{"free":1}', [], 200, {"free": 1}),
            ("raw text", [], 200, "raw text"),
            ('{"message":"no"}', ['kafka_nest-err={"message":"no"}'], 500, {"message": "no"}),
        )):
            out = []
            caller = threading.Thread(
                target=lambda: out.append(self.pod.post("/kafka/request/QUIET", {"id": f"peer-{number}"}))
            )
            caller.start()

            def request():
                return [r for r in self.broker.records(topic) if f'"peer-{number}"' in r["payload"]]

            sent = broker.wait_for(request)[0]["headers"]
            got = dict(zip(sent[::2], sent[1::2]))
            self.broker.produce(got["kafka_replyTopic"], value,
                                f"kafka_correlationId={got['kafka_correlationId']}", *headers)
            caller.join()
            self.assertEqual((out[0][0], out[0][1].get("result")), (status, expected), out)

    def test_peers_are_answered_where_they_may_ask(self):
        answers = f"peer-{uuid.uuid4().hex[:8]}.reply"
        self.broker.create(answers, 4)
        topic = self.setup.kafka_topic
        self.broker.produce(topic, '{"id":"nest-1"}', "kafka_correlationId=opaque nest id",
                            f"kafka_replyTopic={answers}", "kafka_replyPartition=2")
        self.broker.produce(topic, '{"id":"nest-2","do":"fail"}', "kafka_correlationId=2",
                            f"kafka_replyTopic={answers}", "kafka_replyPartition=1")
        self.broker.produce(topic, "not json", "kafka_correlationId=3", f"kafka_replyTopic={answers}")
        got = broker.wait_for(lambda: len(r := self.broker.records(answers)) == 3 and r)
        got = {h["kafka_correlationId"]: (r["partition"], h, r["payload"])
               for r in got for h in [dict(zip(r["headers"][::2], r["headers"][1::2]))]}
        self.assertEqual(got["opaque nest id"][0], 2)
        self.assertEqual(got["2"][0], 1)
        self.assertIn("as it was told", got["2"][1]["kafka_nest-err"])
        self.assertEqual(json.loads(got["3"][2])["status"], "error")
        # a reply topic that is not allowed: handled, not answered, and the partition goes on
        self.broker.produce(topic, '{"id":"evil"}', "kafka_correlationId=4",
                            f"kafka_replyTopic={topic}", key="evil")
        broker.wait_for(lambda: "end evil" in self.setup.effects())
        self.assertEqual(self.request(id="after-evil", key="evil")[0], 200)


class Order(unittest.TestCase):
    def test_each_key_is_in_order_and_keys_run_side_by_side(self):
        setup = Setup(broker.shared(), topic={"partitions": 3, "concurrency": 16},
                      server={"workers": 16})
        pod = setup.pod().wait_ready()
        try:
            lines = []
            for n in range(40):
                for key in range(24):
                    lines.append((f"key{key}", json.dumps({"id": f"{key}.{n}", "ms": (n * 7 + key) % 5})))
            setup.broker.kcat("-P", "-t", setup.kafka_topic, "-K", "\t",
                              stdin="".join(f"{k}\t{v}\n" for k, v in lines).encode())
            broker.wait_for(lambda: len(setup.effects()) == 2 * len(lines), 120, "all effects")
            running, most, last = {}, 0, collections.defaultdict(lambda: -1)
            for line in setup.effects():
                what, task = line.split()
                key, n = task.split(".")
                if what == "begin":
                    self.assertNotIn(key, running)
                    self.assertEqual(int(n), last[key] + 1)
                    running[key], last[key] = n, int(n)
                    most = max(most, len(running))
                else:
                    self.assertEqual(running.pop(key), n)
            self.assertGreater(most, 8)
            self.assertLessEqual(most, 16)
        finally:
            self.assertEqual(pod.stop(), 0)
            setup.remove()

    def test_one_partition_in_order(self):
        setup = Setup(broker.shared(), topic={"partitions": 1, "ordering": "partition"})
        pod = setup.pod().wait_ready()
        try:
            setup.broker.kcat("-P", "-t", setup.kafka_topic, "-p", "0",
                              stdin="".join(f'{{"id":"p{n}"}}\n' for n in range(300)).encode())
            expected = [f"{what} p{n}" for n in range(300) for what in ("begin", "end")]
            broker.wait_for(lambda: len(setup.effects()) == 600, 60, "all effects")
            self.assertEqual(setup.effects(), expected)
        finally:
            self.assertEqual(pod.stop(), 0)
            setup.remove()


class StartUp(unittest.TestCase):
    def test_first_answer_half_a_second_after_start_with_existing_topics(self):
        setup = Setup(broker.shared())
        try:
            self.assertEqual(setup.pod().wait_ready().stop(), 0)
            times = []
            for _ in range(3):
                begun = time.monotonic()
                pod = setup.pod()
                gate = threading.Event()
                while pod.post("/executor/tasks/probe", {})[0] != 200:
                    gate.wait(0.005)
                times.append(time.monotonic() - begun)
                resident = int(
                    next(l for l in pathlib.Path(f"/proc/{pod.process.pid}/status").read_text().splitlines()
                         if l.startswith("VmRSS")).split()[1]
                )
                self.assertEqual(pod.stop(), 0)
            print(f"first answer after {min(times):.3f} s, {resident} KiB resident; ", end="")
            if not SANITIZED:
                self.assertLess(min(times), 0.5)
                self.assertLess(resident, 16 * 1024)
        finally:
            setup.remove()


if __name__ == "__main__":
    unittest.main()
