#!/usr/bin/env python3
"""The main job measured beside the limit: README.md says what is measured and how to read it."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/bench"
PROGRAMS = BUILD / "tests/bench"
os.environ["TASKWIRED"] = str(BUILD / "bin/taskwired")
sys.path.insert(0, str(ROOT / "tests/blackbox"))
import broker as kafka  # noqa: E402
import pod as pods  # noqa: E402

CONNECTIONS = (1, 64, 256)
THREADS = 342  # 4/3 of the most connections
KEYS = 2000
PARTITIONS = 4
IDLE_SECONDS = 5
VARIANTS = {  # name: (pods, with Redis, what the tables call it)
    "limit": (0, False, "limit"),
    "taskwire": (1, False, "taskwire"),
    "redis": (1, True, "taskwire, Redis"),
    "three": (3, False, "3 pods"),
    "three-redis": (3, True, "3 pods, Redis"),
}
SHARE = {1: 0.65, 64: 0.45, 256: 0.27}  # of the limit's throughput, at least
GOALS = {"p50 at 1": 1.5, "CPU at 256": 0.06, "memory at 256": 32, "idle": 0.8, "Redis": 0.75}


class Refused(Exception):
    """taskwired does not start with this configuration, and says why."""


def build():
    if not (BUILD / "build.ninja").exists():
        run("cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            "-DTW_TESTS=ON")
    run("cmake", "--build", BUILD, "--target", "taskwired", "user-login", "bench_bare",
        "bench_load")
    if not (ROOT / "build/kafka/lib").is_dir():  # as tests/run.sh does
        run("mvn", "-q", "-B", "-f", ROOT / "tests/kafka/pom.xml",
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
            f"-DoutputDirectory={ROOT / 'build/kafka/lib'}")
        shutil.copy(ROOT / "tests/kafka/pom.xml", ROOT / "build/kafka/pom.xml")


def run(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout)


def program(name, *arguments, seconds):
    """Runs one of the two C programs, and returns what it has measured."""
    done = subprocess.run([str(PROGRAMS / name), *map(str, arguments)], capture_output=True,
                          text=True, timeout=seconds + 60)
    if done.returncode != 0:
        sys.exit(f"{name} {' '.join(map(str, arguments))}: failed\n{done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Redis:
    """redis-server on a port of its own; it keeps nothing."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="taskwire-redis-")
        self.port = kafka.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
             "--appendonly", "no", "--dir", self.folder],
            stdout=subprocess.DEVNULL,
        )
        kafka.wait_for(self._answers, 10, "Redis")

    def _answers(self):
        done = subprocess.run(["redis-cli", "-p", str(self.port), "ping"], capture_output=True)
        return done.stdout == b"PONG\n"

    def remove(self):
        self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.folder)


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskwire-bench-"))
        self.figures = {}  # (variant, connections): what each round has measured
        self.idle, self.skipped, self.running = {}, {}, []
        self.broker = self.redis = None

    def start(self):
        # Old records go while we run.
        self.broker = kafka.Broker(log_segment_bytes=33554432,
                                   log_retention_check_interval_ms=20000)
        self.broker.start()
        for topic in ("bench.requests", "bench.replies"):
            self.broker.create(topic, PARTITIONS)
        if any(VARIANTS[name][1] for name in self.options.only):
            if shutil.which("redis-server"):
                self.redis = Redis()
            else:
                self.skip([n for n in self.options.only if VARIANTS[n][1]], "no redis-server here")
        print("warming the broker", flush=True)
        self.limit(64, warm=3)
        self.limit(256, warm=3)

    def stop(self):
        self.stop_pods()
        for server in (self.redis, self.broker):
            if server is not None:
                server.remove()
        shutil.rmtree(self.folder)

    def skip(self, names, why):
        for name in names:
            self.skipped[name] = why
            print(f"skipped: {VARIANTS[name][2]}: {why}", flush=True)

    def limit(self, connections, warm=0.5):
        return program("bare", self.broker.address, "bench.requests", "bench.replies", connections,
                       warm, self.options.seconds, seconds=warm + self.options.seconds)

    def configure(self, name):
        """The shipped topic, on Kafka topics that no other variant reads."""
        folder = self.folder / name
        if folder.exists():
            return folder
        (folder / "topics.d").mkdir(parents=True)
        topic = (ROOT / "etc/topics.d/user-login.yaml").read_text()
        (folder / "topics.d/user-login.yaml").write_text(f"{topic}kafka_topic: bench.{name}\n")
        (folder / "taskwire.yaml").write_text(json.dumps({
            "auth": {"mode": "none"},
            "redis": {"url": self.redis.url if VARIANTS[name][1] else "none"},
            "kafka": {"brokers": self.broker.address, "group_id": f"bench-{name}"},
            "http": {"threads": THREADS},
            "plugins": {"load": [str(BUILD / "lib/taskwire/plugins/user-login.so")]},
        }))
        return folder

    def start_pods(self, name):
        config = str(self.configure(name) / "taskwire.yaml")
        count = VARIANTS[name][0]
        for i in range(count):
            try:
                self.running.append(pods.Pod("--config", config, HOSTNAME=f"bench-{i}"))
            except AssertionError as refusal:
                self.stop_pods()
                raise Refused(str(refusal).strip().splitlines()[-1].rpartition(".yaml: ")[2])
        for one in self.running:
            one.wait_ready()
        kafka.wait_for(self._shared_out, 30, "an even share of the partitions")

    def _shared_out(self):
        shares = [one.ask("GET", "/kafka/health")[2]["kafka"]["partitions"] for one in self.running]
        return sum(shares) == PARTITIONS and min(shares) > 0

    def stop_pods(self):
        for one in self.running:
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGTERM)
        while self.running:
            self.running.pop().stop()

    def measure_idle(self, name):
        """Per cent of a core that one pod uses while nobody asks anything."""
        pause = threading.Event()
        pid = self.running[0].process.pid
        pause.wait(2)
        before, at = cpu_seconds(pid), time.monotonic()
        pause.wait(IDLE_SECONDS)
        self.idle[name] = 100 * (cpu_seconds(pid) - before) / (time.monotonic() - at)

    def load(self, connections):
        warm = 0.5
        return program("load", connections, KEYS, warm, self.options.seconds,
                       *(f"{one.port}:{one.process.pid}" for one in self.running),
                       seconds=warm + self.options.seconds)

    def measure(self, name):
        """One variant in one round, at every number of connections."""
        if VARIANTS[name][0] > 0:
            try:
                self.start_pods(name)
            except Refused as why:
                self.skip([n for n in self.options.only if VARIANTS[n][1] == VARIANTS[name][1]],
                          str(why))
                return
            if VARIANTS[name][0] == 1 and name not in self.idle:
                self.measure_idle(name)
        for connections in self.options.connections:
            figures = self.load(connections) if self.running else self.limit(connections)
            self.figures.setdefault((name, connections), []).append(figures)
            print(f"  {VARIANTS[name][2]:16} at {connections:3}: {figures['rate']:8.0f} req/s",
                  flush=True)
        self.stop_pods()

    def run(self):
        for number in range(self.options.rounds):
            print(f"round {number + 1} of {self.options.rounds}", flush=True)
            for name in self.options.only:
                if name not in self.skipped:
                    self.measure(name)

    def median(self, name, connections, figure):
        return statistics.median(map(figure, self.figures[name, connections]))


def rate(f):
    return f["rate"]


def p50(f):
    return f["p50_us"] / 1000


def p99(f):
    return f["p99_us"] / 1000


def cpu(f):
    return 1000 * f["cpu_seconds"] / f["requests"]


def memory(f):
    return f["rss_kb"] / 1024


def show_figures(bench):
    print(f"\nmedians of {bench.options.rounds} rounds\n")
    print(f"{'':16} {'conns':>5} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU s/1000':>11} "
          f"{'RSS MB':>7}")
    for name, connections in sorted(bench.figures, key=lambda k: list(VARIANTS).index(k[0])):
        values = [bench.median(name, connections, f) for f in (rate, p50, p99, cpu)]
        line = "{:8.0f} {:8.2f} {:8.2f} {:11.4f}".format(*values)
        rss = "" if name == "limit" else f"{bench.median(name, connections, memory):7.1f}"
        print(f"{VARIANTS[name][2]:16} {connections:5} {line} {rss}")


def ratios(bench):
    """A row for each ratio, with its goal if it has one; what was not measured is left out."""
    rows = []

    def add(what, value, goal=None, least=False):
        rows.append({"what": what, "value": round(value, 4), "goal": goal, "least": least})

    def over(name, base, connections, figure):
        """The median of what each round has measured: the two stood close together there."""
        rounds = zip(*(bench.figures.get((n, connections), []) for n in (name, base)))
        values = [figure(one) / figure(other) for one, other in rounds]
        return statistics.median(values) if values else None

    measured = [(n, c) for n in VARIANTS if n != "limit" for c in bench.options.connections
                if (n, c) in bench.figures]
    for name, connections in measured:
        share = over(name, "limit", connections, rate)
        if share is not None:
            goal = SHARE.get(connections) if name == "taskwire" else None
            add(f"{VARIANTS[name][2]}: share of the limit at {connections}", share, goal, True)
    for name, connections in measured:
        slower = over(name, "limit", connections, p50)
        if slower is not None:
            goal = GOALS["p50 at 1"] if (name, connections) == ("taskwire", 1) else None
            add(f"{VARIANTS[name][2]}: p50 over the limit's at {connections}", slower, goal)
    for name, base in (("redis", "taskwire"), ("three-redis", "three")):
        for connections in bench.options.connections:
            share = over(name, base, connections, rate)
            if share is not None:
                add(f"{VARIANTS[name][2]}: share of its own without at {connections}", share,
                    GOALS["Redis"], True)
    if ("taskwire", 256) in bench.figures:
        add("taskwire: CPU s per 1,000 at 256", bench.median("taskwire", 256, cpu),
            GOALS["CPU at 256"])
        add("taskwire: resident MB at 256", bench.median("taskwire", 256, memory),
            GOALS["memory at 256"])
    for name, percent in bench.idle.items():
        add(f"{VARIANTS[name][2]}: idle, % of a core", percent,
            GOALS["idle"] if name == "taskwire" else None)
    return rows


def show_ratios(rows):
    print(f"\n{'':50} {'is':>8}   goal")
    for row in rows:
        goal = ""
        if row["goal"] is not None:
            met = row["value"] >= row["goal"] if row["least"] else row["value"] <= row["goal"]
            goal = f"{'>=' if row['least'] else '<='} {row['goal']:<6} {'met' if met else 'MISSED'}"
        print(f"{row['what']:50} {row['value']:8.3f}   {goal}".rstrip())


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="measured in each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write all figures there as well")
    parser.add_argument("--only", default=",".join(VARIANTS), metavar="NAME,...",
                        help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--connections", default=",".join(map(str, CONNECTIONS)), metavar="N,...")
    options = parser.parse_args()
    options.only = options.only.split(",")
    options.connections = [int(n) for n in options.connections.split(",")]
    unknown = [name for name in options.only if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}")
    return options


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    build()
    bench = Bench(options)
    try:
        bench.start()
        bench.run()
    finally:
        bench.stop()
    rows = ratios(bench)
    show_figures(bench)
    show_ratios(rows)
    if bench.skipped:
        print(f"not measured: {', '.join(VARIANTS[name][2] for name in bench.skipped)} (see above)")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({
            "figures": [{"variant": n, "connections": c, "rounds": f}
                        for (n, c), f in bench.figures.items()],
            "idle_percent": bench.idle, "ratios": rows, "skipped": bench.skipped,
        }, indent=2) + "\n")


if __name__ == "__main__":
    main()
