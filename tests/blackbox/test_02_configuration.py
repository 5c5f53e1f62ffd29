"""What a wrong configuration is told, and what waits for a broker."""
import pathlib
import socket
import subprocess
import tempfile
import unittest

from pod import DAEMON, ROOT, Pod

PLUGINS = DAEMON.parent.parent / "lib/taskwire/plugins"


def check(text, topics=(), **environment):
    """Returns (exit status, output) of --check-config."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "topics.d").mkdir()
        (folder / "t.yaml").write_text(text)
        for i, topic in enumerate(topics):
            (folder / "topics.d" / f"{i}.yaml").write_text(topic)
        done = subprocess.run(
            [DAEMON, "--config", "t.yaml", "--check-config"], cwd=folder, text=True,
            capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin", **environment},
        )
        return done.returncode, done.stdout + done.stderr


GOOD = "auth: {mode: none}\n"


class Configuration(unittest.TestCase):
    def test_a_short_one_is_enough(self):
        self.assertEqual(check(GOOD)[0], 0)

    def test_all_errors_at_once_each_with_its_place(self):
        status, out = check("http:\n  port: 99999\n  prot: 1\nkafka: {brokers: }\nlimits: {body: x}\n")
        self.assertEqual(status, 1)
        for line in (
            "t.yaml:2:9: http.port: 99999 is not between 0 and 65535",
            't.yaml:3:3: unknown key "prot" in http; did you mean "port"?',
            't.yaml:5:16: limits.body: "x" is not a size such as 64KiB or 1MiB',
            "t.yaml: auth.mode: is required",
        ):
            self.assertIn(line, out)

    def test_hostile_yaml(self):
        for text, line in (
            ("a: &x [1]\nb: *x\n", "t.yaml:1:4: tags, anchors and aliases"),
            ("auth: {mode: none}\nauth: {mode: none}\n", "t.yaml:2:1: the key is written twice"),
            ("a: [\n", "t.yaml:2:1: "),
            ("--- {}\n--- {}\n", "only one document"),
            ("http:\n  port: ${NOT_SET}\n", "t.yaml:2:9: the environment variable is not set"),
            ("[" * 50, "deeper than 32"),
        ):
            status, out = check(text)
            self.assertEqual(status, 1)
            self.assertIn(line, out)

    def test_topics(self):
        status, out = check(GOOD, ["topic: A\nhandler: none\n", "topic: A\nroute: /livez\nkey: x\n"])
        self.assertEqual(status, 1)
        for line in ('topics.d/0.yaml:2:10: handler: no loaded plugin has a handler "none"',):
            self.assertIn(line, check(GOOD, ["topic: A\nhandler: none\n"])[1])
        for line in ("topics.d/1.yaml:2:8: route:", "topics.d/1.yaml:3:6: key:", "topic: A stands in"):
            self.assertIn(line, out)

    def test_the_environment_overrides(self):
        status, out = check(GOOD, PORT="70000", REDIS_URL="rediss://u:secret@localhost")
        self.assertEqual(status, 1)
        self.assertIn("environment: PORT: http.port: 70000 is not between 0 and 65535", out)
        self.assertIn("environment: REDIS_URL: redis.url: TLS to Redis (rediss://) is not built in", out)
        self.assertNotIn("secret", out)

    def test_a_plugin_that_does_not_fit(self):
        status, out = check(GOOD + "plugins: {load: [/etc/hostname, x.so]}\n")
        self.assertEqual(status, 1)
        self.assertIn("/etc/hostname: cannot be loaded", out)
        self.assertIn("x.so.so: cannot be opened", out)

    def test_the_shipped_files_are_valid(self):
        done = subprocess.run(
            [DAEMON, "--config", ROOT / "etc/taskwire.yaml", "--check-config"],
            capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"},
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_no_broker_is_no_reason_to_die(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
            pod = Pod("--config", str(ROOT / "etc/taskwire.yaml"), KAFKA_BROKERS=address)
            try:
                self.assertEqual(pod.ask("GET", "/livez")[0], 200)
                self.assertEqual(pod.ask("GET", "/readyz")[0], 503)
                status, headers, answer = pod.ask("POST", "/executor/tasks/hello", {"name": "x"})
                self.assertEqual((status, headers["Retry-After"]), (503, "1"))
                self.assertEqual(answer["type"], "urn:taskwire:problem:kafka-unavailable")
            finally:
                self.assertEqual(pod.stop(), 0)


if __name__ == "__main__":
    unittest.main()
