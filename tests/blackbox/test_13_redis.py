"""What holds when Redis goes away, refuses, forgets, or moves."""
import json
import subprocess
import threading
import time
import unittest
import uuid

import broker
import history
from broker import Broker, wait_for
from fleet import FleetTest, balanced
from load import Traffic
from pod import DAEMON, SANITIZED, Setup
from redis_server import Redis, Sentinel

SOON = 5 if not SANITIZED else 10  # s: told degraded, and recovered


def says(pod):
    """(health, readiness, its status code)"""
    code, _, ready = pod.ask("GET", "/readyz")
    return pod.health()["status"], ready["status"], code


def wait_degraded(*pods):
    for pod in pods:
        wait_for(lambda: says(pod) == ("degraded", "degraded", 200), SOON, "degraded")


def wait_well(*pods):
    for pod in pods:
        wait_for(lambda: says(pod) == ("ok", "ready", 200), SOON, "well again")


class Waiting:
    """Sixteen requests at `pod` to a topic that nobody handles, and a reply by hand in each partition
    of the reply topic: whichever pod has it."""

    def __init__(self, setup, pod, topic):
        self.setup, self.stamp, self.answers = setup, uuid.uuid4().hex[:6], {}
        self.threads = [threading.Thread(target=self._ask, args=(pod, n)) for n in range(16)]
        for thread in self.threads:
            thread.start()

        def all_sent():
            found = {}
            for record in setup.broker.records(topic):
                task = json.loads(record["payload"])["id"]
                if task.startswith(self.stamp):
                    found[task] = Broker.headers(record)["kafka_correlationId"].decode()
            return len(found) == 16 and found

        self.correlations = wait_for(all_sent, what="sixteen requests")

    def _ask(self, pod, n):
        self.answers[n] = pod.post("/kafka/request/QUIET?timeout=60s", {"id": f"{self.stamp}-{n}"})

    def reply(self, text="by hand"):
        for n in range(16):
            self.setup.broker.produce(
                self.setup.replies, json.dumps({"text": text, "n": n}),
                f"kafka_correlationId={self.correlations[f'{self.stamp}-{n}']}", partition=n)

    def wait_for_answers(self, count, seconds=10):
        wait_for(lambda: len(self.answers) >= count, seconds, f"{count} answers")
        for n, (status, body) in self.answers.copy().items():
            assert status == 200 and body["id"] == f"{self.stamp}-{n}", body
            assert body["result"]["n"] == n, body
        return len(self.answers)


class Repeating(threading.Thread):
    """Calls turn() again and again until stop(), which raises what turn() has raised."""

    def __init__(self):
        super().__init__()
        self.stopping, self.error = threading.Event(), None
        self.start()

    def run(self):
        try:
            while not self.stopping.wait(0.002):
                self.turn()
        except Exception as error:
            self.error = error

    def stop(self):
        self.stopping.set()
        self.join()
        if self.error is not None:
            raise self.error


class Asking(Repeating):
    """Asks `pod` what it knows of the tasks of a Traffic, always the last that was answered."""

    def __init__(self, pod, traffic):
        self.pod, self.traffic, self.seen, self.slowest = pod, traffic, {}, 0.0
        super().__init__()

    def turn(self):
        task, value, status, _, _ = self.traffic.log()[-1]
        begun = time.monotonic()
        code, _, body = self.pod.ask("GET", f"/executor/tasks/{task}")
        self.slowest = max(self.slowest, time.monotonic() - begun)
        assert code in (200, 404, 503), body
        if code == 200 and body["state"] != "pending":
            assert (body["id"], body["state"]) == (task, "succeeded") and status == 200, body
            assert body["result"]["echo"]["n"] == value, body
            self.seen[task] = value


class Watching(Repeating):
    """Sees to it that the pods go on to say that they are degraded."""

    def __init__(self, pods):
        self.pods, self.begun, self.ups = pods, time.monotonic(), self._ups(pods)
        super().__init__()

    @staticmethod
    def _ups(pods):
        return sum('component=redis msg="up"' in line for pod in pods for line in pod.lines)

    def turn(self):
        for pod in self.pods:
            said = says(pod)
            assert said == ("degraded", "degraded", 200), said
        assert self._ups(self.pods) == self.ups, "it was up for a moment"


class Faults(unittest.TestCase):
    """One after the other on two pods that live through all of them."""

    @classmethod
    def setUpClass(cls):
        cls.redis = Redis(appendonly=True, password="first").start()
        cls.quiet = f"quiet-{uuid.uuid4().hex[:8]}"
        cls.setup = Setup(
            broker.shared(), topic={"partitions": 4, "timeout": "10s"},
            more_topics=[{"topic": "QUIET", "kafka_topic": cls.quiet}],
            redis={"url": f"redis://:first@{cls.redis.address}"}, http={"threads": 128},
        )
        cls.pods = [cls.setup.pod() for _ in range(2)]
        balanced(cls.pods, 4)

    @classmethod
    def tearDownClass(cls):
        stopped = [pod.stop() for pod in cls.pods]
        cls.setup.remove()
        cls.redis.remove()
        assert stopped == [0, 0], "".join(line for pod in cls.pods for line in pod.lines[-30:])

    def run_through(self, fault, mend):
        """What comes home is answered throughout, what does not when Redis is back. Returns the sixteen
        that waited, and what was told as done on the strength of Redis."""
        one, other = self.pods
        wait_well(one, other)
        waiting = Waiting(self.setup, one, self.quiet)
        loads = [Traffic(p.port, 4, ms=2, pace=0.02) for p in self.pods]
        for load in loads:
            self.addCleanup(load.stop)  # whatever happens
            load.answered(50)
        asking, watching = Asking(other, loads[0]), None
        try:
            wait_for(lambda: len(asking.seen) > 5 or asking.error, what="tasks known to the other pod")
            fault()
            wait_degraded(one, other)
            watching = Watching(self.pods)
            waiting.reply()
            self.assertEqual(waiting.wait_for_answers(8), 8)  # those that came home
            waiting.home = set(waiting.answers)
            for load in loads:
                load.answered(50)
            begun = time.monotonic()
            status, _, answer = other.ask("GET", f"/executor/tasks/{waiting.stamp}-0")
            self.assertIn(status, (200, 503), answer)
            self.assertLess(time.monotonic() - begun, 3 if not SANITIZED else 6)
            self.assertGreater(sum(pod.metric("taskwire_reply_backlog") for pod in self.pods), 0)
            self.assertEqual(len(waiting.answers), 8)
            wait_for(lambda: time.monotonic() - watching.begun > 1.6, what="the end of a watch")
            watching.stop()
        finally:
            for thread in (asking, watching):
                if thread is not None:
                    self.addCleanup(thread.stop)
            if watching is not None:
                watching.stopping.set()
            mend()
        begun = time.monotonic()
        wait_well(one, other)
        recovered = time.monotonic() - begun
        waiting.wait_for_answers(16)
        for load in loads:
            load.answered(50)
        asking.stop()
        log = [line for load in loads for line in (load.stop(), load.log())[1]]
        history.handled(self.setup)
        counts = history.check(self.setup, log)
        slowest = max(max(load.lasted) for load in loads)
        print(f"well {recovered:.1f} s after; {dict(counts)}, {len(asking.seen)} seen, slowest {slowest:.1f} s, "
              f"asking {asking.slowest:.1f} s", end="; ")
        self.assertEqual(set(counts), {200}, counts)
        self.assertLess(slowest, 2 if not SANITIZED else 10)
        self.assertLess(asking.slowest, 3 if not SANITIZED else 6)
        for pod in self.pods:
            wait_for(lambda: pod.metric("taskwire_reply_backlog") == 0, what="nothing held")
        return waiting, asking.seen

    def assert_kept(self, waiting, seen):
        """All that a pod has told from Redis, both tell still. What was answered while it was away only
        the pod that answered can tell; elsewhere it does not count as done."""
        for n in range(16):
            task = self.pods[0].ask("GET", f"/executor/tasks/{waiting.stamp}-{n}")[2]
            self.assertEqual((task["state"], task["result"]["n"]), ("succeeded", n))
            status, _, task = self.pods[1].ask("GET", f"/executor/tasks/{waiting.stamp}-{n}")
            if n not in waiting.home or (status == 200 and task["state"] != "pending"):
                self.assertEqual((task["state"], task["result"]["n"]), ("succeeded", n))
        for pod in self.pods:
            for task, value in [*seen.items()][:200]:
                status, _, answer = pod.ask("GET", f"/executor/tasks/{task}")
                self.assertEqual((status, answer["result"]["echo"]["n"]), (200, value))

    def refuse(self, mend, *fault):
        return self.run_through(lambda: self.redis.ask(*fault), mend)

    def test_killed(self):
        self.assert_kept(*self.run_through(self.redis.kill, self.redis.start))

    def test_frozen(self):
        begun = []

        def freeze():
            begun.append(time.monotonic())
            self.redis.freeze()

        def thaw():
            wait_for(lambda: time.monotonic() - begun[0] >= 5, 10)
            self.redis.thaw()

        self.assert_kept(*self.run_through(freeze, thaw))

    def test_restarted_empty(self):
        def start_empty():
            self.redis.forget()
            self.redis.start()

        waiting, _ = self.run_through(self.redis.kill, start_empty)
        for pod in self.pods:  # they were held, or known to who asked
            for n in range(16):
                status, _, task = pod.ask("GET", f"/executor/tasks/{waiting.stamp}-{n}")
                self.assertIn(status, (200, 404))
                self.assertEqual(status == 200 and task["result"]["n"], status == 200 and n)

    def test_out_of_memory(self):
        self.assert_kept(*self.refuse(lambda: self.redis.ask("CONFIG", "SET", "maxmemory", "0"),
                                      "CONFIG", "SET", "maxmemory", "1mb"))

    def test_read_only(self):
        self.assert_kept(*self.refuse(self.redis.lead, "REPLICAOF", "127.0.0.1", "1"))

    def test_too_few_replicas(self):
        self.assert_kept(*self.refuse(
            lambda: self.redis.ask("CONFIG", "SET", "min-replicas-to-write", "0"),
            "CONFIG", "SET", "min-replicas-to-write", "1"))

    def test_wrong_password(self):
        def change(to):
            self.redis.ask("CONFIG", "SET", "requirepass", to)
            self.redis.password = to
            self.redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            self.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")

        self.assert_kept(*self.run_through(lambda: change("second"), lambda: change("first")))

    def test_no_right_to_the_keys(self):
        self.assert_kept(*self.refuse(lambda: self.redis.ask("ACL", "SETUSER", "default", "allkeys"),
                                      "ACL", "SETUSER", "default", "resetkeys", "~other:*"))

    def test_no_right_to_the_scripts(self):
        self.assert_kept(*self.refuse(lambda: self.redis.ask("ACL", "SETUSER", "default", "+evalsha"),
                                      "ACL", "SETUSER", "default", "-evalsha"))

    def test_pubsub_cut(self):
        one, other = self.pods
        for fault in (["CLIENT", "KILL", "TYPE", "pubsub"], ["ACL", "SETUSER", "default", "-subscribe"]):
            waiting = Waiting(self.setup, one, self.quiet)
            try:
                self.redis.ask(*fault)
                self.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
                waiting.reply()
                waiting.wait_for_answers(16)
                self.assertEqual(says(other)[1:], ("ready", 200))
            finally:
                self.redis.ask("ACL", "SETUSER", "default", "+subscribe")
                for thread in waiting.threads:
                    thread.join()


class Elsewhere(FleetTest):
    PARTITIONS = 4

    def server(self, kind=Redis, *arguments, **settings):
        server = kind(*arguments, **settings)
        self.addCleanup(server.remove)
        return server

    def test_away_at_start(self):
        redis = self.server()
        setup = self.begin(redis)
        pods = [self.run_pod(setup.pod()) for _ in range(2)]
        self.assertEqual(pods[0].ask("GET", "/livez")[0], 200)
        balanced(pods, self.PARTITIONS)
        wait_degraded(*pods)
        for pod in pods:
            checks = pod.ask("GET", "/readyz?verbose")[2]["checks"]
            self.assertEqual([c["name"] for c in checks if not c["ok"]], ["redis"])
            self.assertEqual(pod.health()["redis"], {"connected": False})
            for n in range(20):
                status, answer = pod.post("/executor/tasks/probe", {"id": f"{pod.port}-{n}", "n": n})
                self.assertEqual((status, answer["result"]["echo"]["n"]), (200, n))
            self.assertEqual(pod.ask("GET", f"/executor/tasks/{pod.port}-0")[0], 200)
        self.assertEqual(pods[0].ask("GET", f"/executor/tasks/{pods[1].port}-0")[0], 503)
        self.assertEqual(pods[0].ask("GET", "/executor/tasks/nobody")[0], 503)
        redis.start()
        wait_well(*pods)
        self.assertEqual(pods[0].ask("GET", "/executor/tasks/nobody")[0], 404)
        self.assertEqual(pods[0].post("/executor/tasks/probe", {"id": "now"})[0], 200)
        wait_for(lambda: pods[1].ask("GET", "/executor/tasks/now")[0] == 200)
        self.stop(*pods)

    def test_failed_over(self):
        master, replica = self.server().start(), self.server().start()
        replica.follow(master)
        sentinel = self.server(Sentinel, master).start()
        wait_for(lambda: len(sentinel.ask("SENTINEL", "REPLICAS", "mymaster")) == 1)
        setup = self.begin(sentinel)
        pods = self.fleet(setup, 2)
        wait_well(*pods)
        loads = [self.load(Traffic(p.port, 4, ms=2)) for p in pods]
        for one in loads:
            one.answered(50)
        master.kill()
        wait_degraded(*pods)
        wait_for(lambda: sentinel.master() == replica.port, 30, "the failover")
        begun = time.monotonic()
        wait_well(*pods)
        recovered = time.monotonic() - begun
        for one in loads:
            one.answered(50)
        log = self.stop_loads()
        history.handled(setup)
        counts = history.check(setup, log)
        print(f"well {recovered:.1f} s after the failover; {dict(counts)}", end="; ")
        self.assertEqual(set(counts), {200}, counts)
        self.assertEqual(pods[0].post("/executor/tasks/probe", {"id": "now"})[0], 200)
        wait_for(lambda: pods[1].ask("GET", "/executor/tasks/now")[0] == 200)
        self.assertTrue(replica.keys(f"tw:{setup.group}:i:0::now"))
        self.stop(*pods)

    def test_a_user_with_just_its_rights_and_a_database(self):
        redis = self.server().start()
        secret = "pass/wo@rd:%"
        redis.ask("ACL", "SETUSER", "app", "on", f">{secret}", "~tw:*", "&tw:*", "+@all", "-@admin",
                  "-@dangerous")
        url = f"redis://app:pa%73s%2Fwo%40rd%3A%25@{redis.address}"
        setup = self.begin(f"{url}/3")
        pods = self.fleet(setup, 2)
        wait_well(*pods)
        self.assertEqual(pods[0].post("/executor/tasks/probe", {"id": "here"})[0], 200)
        wait_for(lambda: pods[1].ask("GET", "/executor/tasks/here")[2].get("state") == "succeeded")
        spaces = redis.ask("INFO", "keyspace")
        self.assertIn("db3:", spaces)
        self.assertNotIn("db0:", spaces)
        redis.ask("ACL", "SETUSER", "app", "resetpass", ">other")
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        wait_degraded(*pods)
        for pod in pods:
            wait_for(lambda: any("WRONGPASS" in line for line in pod.lines), what="why it is away")
        pages = [json.dumps(pod.ask("GET", path)[2]) for pod in pods for path in
                 ("/kafka/health", "/readyz?verbose", "/metrics", "/kafka/topics", "/livez",
                  "/executor/tasks/nobody")]
        checked = subprocess.run([str(DAEMON), "--check-config", "--config", str(setup.folder / "taskwire.yaml")],
                                 capture_output=True, text=True, timeout=60)
        self.stop(*pods)
        for text in [*pages, checked.stdout, checked.stderr, *(l for pod in pods for l in pod.lines)]:
            for hidden in ("wo@rd", "pa%73s", "wo%40rd", "redis://"):
                self.assertNotIn(hidden, text)

    def test_replies_for_others_pile_up_to_the_limit(self):
        redis, quiet = self.server().start(), f"quiet-{uuid.uuid4().hex[:8]}"
        setup = self.begin(redis, more_topics=[{"topic": "QUIET", "kafka_topic": quiet}],
                           limits={"reply_backlog": "64KiB"})
        pods = self.fleet(setup, 2)
        wait_well(*pods)
        waiting = Waiting(setup, pods[0], quiet)
        redis.kill()
        wait_degraded(*pods)
        many, size = 1000, 20000  # and none of them is for anybody
        setup.broker.kcat("-P", "-t", setup.replies, "-H", f"kafka_correlationId={uuid.uuid4()}",
                          stdin="".join(f'{{"n":{n},"x":"{"x" * size}"}}\n' for n in range(many)).encode())
        for pod in pods:
            wait_for(lambda: pod.metric("taskwire_reply_pauses_total") > 0, what="a pause")
        waiting.reply()
        for pod in pods:
            held = pod.metric("taskwire_reply_backlog")
            self.assertGreaterEqual(held, 64 << 10)
            self.assertLess(held, (4 << 20) + (64 << 10) + 2 * size)  # what had been fetched, and the limit
        self.assertEqual(pods[0].post("/executor/tasks/probe?timeout=1s", {"id": "x"})[0] in (200, 504), True)
        redis.start()
        wait_well(*pods)
        waiting.wait_for_answers(16, 30)

        def counted(name):
            return sum(p.metric(f"taskwire_replies_{name}_total") for p in pods)

        wait_for(lambda: counted("foreign") + counted("repeated") >= many, 30, "all of them")
        self.assertEqual(counted("foreign"), 1)
        for pod in pods:
            wait_for(lambda: pod.metric("taskwire_reply_backlog") == 0, what="nothing held")
        self.assertEqual(pods[0].post("/executor/tasks/probe", {"id": "after"})[0], 200)
        self.stop(*pods)


if __name__ == "__main__":
    unittest.main()
