"""Several pods of one configuration, and an end for each of them."""
import unittest

import broker
import redis_server
from broker import wait_for
from pod import Setup


def spread(pods, field="partitions", total=None):
    """Waits until the pods hold all of the partitions, and each of them some."""
    def shared_out():
        held = [p.health()["kafka"][field] for p in pods]
        return min(held) > 0 and (total is None or sum(held) == total)

    wait_for(shared_out, 60, f"{field} spread over {len(pods)} pods")


def balanced(pods, partitions):
    """Waits until the pods are ready and have shared out both topics among them."""
    for pod in pods:
        pod.wait_ready()
    spread(pods, "partitions", partitions)
    spread(pods, "replyPartitions", 16)


class FleetTest(unittest.TestCase):
    PARTITIONS = 12

    def setUp(self):
        self.broker = broker.shared()
        self.pods, self.loads = [], []

    def begin(self, redis=None, *, topic=None, **options):
        """A Setup on the broker and a Redis: the shared one, another one, or that of a URL."""
        redis = redis or redis_server.shared()
        sections = {"redis": {"url": redis if isinstance(redis, str) else redis.url}}
        for section, values in options.pop("sections", {}).items():
            sections[section] = {**sections.get(section, {}), **values}
        setup = Setup(self.broker, topic={"partitions": self.PARTITIONS, **(topic or {})},
                      **options, **sections)
        self.addCleanup(setup.remove)
        self.addCleanup(self.end)  # before its files go
        return setup

    def run_pod(self, pod):
        self.pods.append(pod)
        return pod

    def fleet(self, setup, count):
        """Pods that are ready and have shared out both topics among them."""
        pods = [self.run_pod(setup.pod(HOSTNAME=f"pod-{n}")) for n in range(count)]
        balanced(pods, self.PARTITIONS)
        return pods

    def load(self, traffic):
        self.loads.append(traffic)
        return traffic

    def stop_loads(self):
        """What all clients have heard."""
        for one in self.loads:
            one.stop()
        log = [line for one in self.loads for line in one.log()]
        self.loads = []
        return log

    def stop(self, *pods):
        for pod in pods:
            self.assertEqual(pod.stop(), 0, "".join(pod.lines[-50:]))

    def end(self):
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.kill()
        for one in self.loads:
            one.stop()
