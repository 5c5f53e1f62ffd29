"""What holds when a broker goes away, and when a pod does."""
import json
import pathlib
import signal
import socket
import threading
import time
import unittest

import broker
import history
from broker import wait_for
from load import Traffic
from pod import Setup


class BrokerFaults(unittest.TestCase):
    def setUp(self):
        self.broker = broker.Broker()
        self.addCleanup(self.broker.remove)

    def test_away_at_start(self):
        setup = Setup(self.broker)
        pod = setup.pod()
        self.assertEqual(pod.ask("GET", "/livez")[0], 200)
        self.assertEqual(pod.ask("GET", "/readyz")[0], 503)
        self.assertEqual(pod.ask("GET", "/kafka/health")[0], 503)
        status, headers, answer = pod.ask("POST", "/executor/tasks/probe", {})
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertNotIn("127.0.0.1", json.dumps(answer))

        def busy():
            fields = pathlib.Path(f"/proc/{pod.process.pid}/stat").read_text().rsplit(")")[1].split()
            return int(fields[11]) + int(fields[12])  # hundredths of a second

        before = busy()
        self.broker.start()
        idle = busy() - before
        self.assertLess(idle, 100, "a busy loop while no broker was there")
        begun = time.monotonic()
        pod.wait_ready()
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual(pod.post("/executor/tasks/probe", {})[0], 200)
        self.assertEqual(pod.stop(), 0)
        setup.remove()

    def run_through(self, fault, mend, repeats_allowed=0):
        """Requests and fire-and-forget while `fault` happens; every answer comes in time."""
        self.broker.start()
        setup = Setup(self.broker, topic={"partitions": 4, "timeout": "4s"})
        pod = setup.pod().wait_ready()
        waiting = Traffic(pod.port, 16, pace=0)
        sending = Traffic(pod.port, 8, pace=0, path="/kafka/send/PROBE")
        waiting.answered(300)
        sending.answered(200)
        fault()
        begun = time.monotonic()
        status, answer = pod.post("/executor/tasks/probe", {})
        took = time.monotonic() - begun
        self.assertIn(status, (503, 504), answer)
        self.assertLess(took, 5 + 1)
        wait_for(lambda: pod.ask("GET", "/readyz")[0] == 503, what="not ready")
        self.assertEqual(pod.ask("GET", "/livez")[0], 200)
        mend()
        begun = time.monotonic()
        pod.wait_ready()
        recovered = time.monotonic() - begun
        waiting.answered(300)
        sending.answered(200)
        waiting.stop()
        sending.stop()
        history.handled(setup)
        self.assertEqual(pod.stop(), 0)
        counts = [history.check(setup, each.log(), repeats_allowed=repeats_allowed)
                  for each in (waiting, sending)]
        print(f"ready {recovered:.1f} s after its return; {dict(counts[0])}, {dict(counts[1])}; ", end="")
        self.assertLess(recovered, 5)
        setup.remove()

    def test_killed_under_load(self):
        # the group may be lost with it: what was done and could not be committed is done again
        self.run_through(self.broker.kill, self.broker.start, repeats_allowed=500)

    def test_frozen_under_load(self):
        self.run_through(self.broker.freeze, self.broker.thaw)


class PodFaults(unittest.TestCase):
    def setUp(self):
        self.pods, self.setups = [], []

    def tearDown(self):
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.kill()
        for setup in self.setups:
            setup.remove()

    def begin(self, **options):
        self.setups.append(Setup(broker.shared(), **options))
        return self.setups[-1]

    def pod(self, setup):
        self.pods.append(setup.pod())
        return self.pods[-1]

    def test_sigterm_under_load_resets_and_loses_nothing(self):
        setup = self.begin(topic={"partitions": 4})
        pod = self.pod(setup).wait_ready()
        waiting, sending = Traffic(pod.port, 32, pace=0, ms=20), Traffic(pod.port, 8, pace=0, path="/kafka/send/PROBE")
        waiting.answered(300)
        sending.answered(200)
        begun = time.monotonic()
        pod.process.send_signal(signal.SIGTERM)
        self.assertEqual(pod.stop(), 0, "".join(pod.lines))
        self.assertLess(time.monotonic() - begun, 10)
        waiting.stop()
        sending.stop()
        after = self.pod(setup).wait_ready()
        history.handled(setup)
        self.assertEqual(after.stop(), 0)
        for each in (waiting, sending):
            counts = history.check(setup, each.log())
            self.assertEqual(counts[0], 0, "connections that were reset")
            print(dict(counts), end="; ")

    def test_who_waits_for_long_is_told_where_to_ask(self):
        setup = self.begin(server={"drain_timeout": "300ms"})
        pod, gate, out = self.pod(setup).wait_ready(), setup.folder / "gate", []
        caller = threading.Thread(
            target=lambda: out.append(
                pod.ask("POST", "/executor/tasks/probe", {"id": "slow", "until": str(gate)})
            )
        )
        caller.start()
        wait_for(lambda: "begin slow" in setup.effects())
        pod.process.send_signal(signal.SIGTERM)
        caller.join()
        status, headers, answer = out[0]
        self.assertEqual((status, answer["id"]), (503, "slow"))
        self.assertEqual(headers["Location"], "/executor/tasks/slow")
        gate.touch()
        pod.stop()
        # what was not committed is done again by the next
        after = self.pod(setup).wait_ready()
        wait_for(lambda: "end slow" in setup.effects())
        self.assertEqual(after.stop(), 0)

    def test_killed_under_load_loses_no_accepted_task(self):
        setup = self.begin(topic={"partitions": 4})
        pod = self.pod(setup).wait_ready()
        sending, waiting = Traffic(pod.port, 16, pace=0, path="/kafka/send/PROBE", ms=2), Traffic(pod.port, 16, pace=0)
        sending.answered(500)
        waiting.answered(200)
        pod.kill()
        sending.stop()
        waiting.stop()
        after = self.pod(setup).wait_ready()
        history.handled(setup)
        self.assertEqual(after.stop(), 0)
        for each in (sending, waiting):
            # what ran and was not committed runs again: at most what half a second brings
            history.check(setup, each.log(), repeats_allowed=len(each.results))

    def test_rebalances_lose_no_reply(self):
        setup = self.begin(topic={"partitions": 8})
        pod = self.pod(setup).wait_ready()
        waiting = Traffic(pod.port, 16, pace=0, ms=5)
        waiting.answered(200)
        for _ in range(3):
            other = self.pod(setup).wait_ready()
            wait_for(lambda: other.ask("GET", "/kafka/health")[2]["kafka"]["partitions"] == 4,
                     what="half of the partitions")
            waiting.answered(200)
            self.assertEqual(other.stop(), 0)
            waiting.answered(200)
        waiting.stop()
        history.handled(setup)
        counts = history.check(setup, waiting.log())
        self.assertEqual(set(counts), {200}, counts)
        self.assertEqual(pod.stop(), 0)

    def test_a_handler_that_ends_the_process_loses_nothing(self):
        for what in ("crash", "exit"):
            setup = self.begin()
            pod = self.pod(setup).wait_ready()
            task = json.dumps({"id": "bomb", "do": what})
            setup.broker.produce(setup.kafka_topic, task, key="a")
            self.assertNotEqual(pod.process.wait(30), 0)
            pod.stop()
            self.assertEqual(setup.effects(), ["begin bomb"])
            again = self.pod(setup)
            self.assertNotEqual(again.process.wait(30), 0)
            again.stop()
            self.assertEqual(setup.effects(), ["begin bomb"] * 2)

    def test_hanging_handlers_make_the_pod_unready_and_callers_504(self):
        setup = self.begin(server={"workers": 2, "drain_timeout": "200ms"})
        pod, gate = self.pod(setup).wait_ready(), setup.folder / "gate"
        for n in range(2):
            pod.post("/kafka/send/PROBE", {"id": f"hang{n}", "key": f"h{n}", "until": str(gate)})
        wait_for(lambda: pod.ask("GET", "/readyz")[0] == 503, what="not ready")
        self.assertEqual(pod.ask("GET", "/livez")[0], 200)
        status, answer = pod.post("/executor/tasks/probe?timeout=200ms", {"id": "behind"})
        self.assertEqual(status, 504, answer)
        gate.touch()
        pod.wait_ready()
        wait_for(lambda: pod.ask("GET", "/executor/tasks/behind")[2]["state"] == "succeeded")
        self.assertEqual(pod.stop(), 0)

    def test_a_port_in_use_is_one_clear_sentence(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            setup = self.begin()
            with self.assertRaises(AssertionError) as caught:
                setup.pod(PORT=str(s.getsockname()[1]))
            self.assertIn("in use", str(caught.exception))


class History(unittest.TestCase):
    """A check that never failed proves nothing."""

    def test_it_sees_what_it_is_there_to_see(self):
        setup = Setup(broker.shared())
        pod = setup.pod().wait_ready()
        background = Traffic(pod.port, 4, pace=0)
        background.answered(20)
        background.stop()
        self.assertEqual(pod.stop(), 0)
        log = background.log()
        history.check(setup, log)
        swapped = [(*a[:4], b[4]) for a, b in zip(log[:2], log[1::-1])] + log[2:]
        doubled = [*log, log[0]]
        unsent = [(*log[0][:2], 503, "", {"id": log[0][0]}), *log[1:]]
        invented = [("nobody", "x", 202, "", {}), *log]
        for wrong in (swapped, doubled, unsent, invented):
            with self.assertRaises(AssertionError):
                history.check(setup, wrong)
        lines = setup.log.read_text().splitlines(keepends=True)
        for text in ("".join(l for l in lines if l != f"end {log[0][0]}\n"),
                     "".join(lines) + f"end {log[0][0]}\n"):
            setup.log.write_text(text)
            with self.assertRaises(AssertionError):
                history.check(setup, log)
        setup.remove()


if __name__ == "__main__":
    unittest.main()
