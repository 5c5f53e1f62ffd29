"""The commands of the guides, word for word; and what is left when the daemon ends."""
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

import pod
from pod import ROOT, SANITIZED, Pod


class Guides(unittest.TestCase):
    def test_the_tour_of_the_readme(self):
        tour = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
        one = Pod("--dev", PORT="3000").wait_ready()
        try:
            done = subprocess.run(
                ["bash", "-e", "-c", tour.replace("curl ", "curl -sS -w '\\n%{http_code}\\n' ")],
                capture_output=True, text=True, timeout=60,
            )
        finally:
            self.assertEqual(one.stop(), 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[1::2], ["200", "200", "202", "200", "200"])
        self.assertIn('"id":"task_123","topic":"USER_LOGIN","status":"success"', lines[0])
        self.assertIn('"state":"succeeded"', lines[2])
        self.assertIn('"offset":', lines[4])
        self.assertIn('"httpStatus":200', lines[6])
        self.assertIn('"httpStatus":422', lines[6])
        self.assertIn('"status":"ok"', lines[8])

    def test_the_five_steps_of_the_plugin_guide(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "topics.d").mkdir()
            source = (ROOT / "plugins/hello/hello.c").read_text()
            (folder / "hi.c").write_text(source.replace('"hello"', '"hi"'))
            guide = (ROOT / "plugins/README.md").read_text()
            command = re.search(r"`(cc .*?) && chmod", guide).group(1)
            subprocess.run(
                command.replace("my/", f"{folder}/"), shell=True, check=True, cwd=ROOT
            )
            (folder / "topics.d/hi.yaml").write_text(
                re.search(r"hi.yaml`: `(.*?)`", guide).group(1)
            )
            (folder / "taskwire.yaml").write_text(
                f"auth: {{mode: none}}\nplugins: {{load: [{folder}/hi.so]}}\n"
            )
            one = Pod("--dev", "--config", str(folder / "taskwire.yaml")).wait_ready()
            status, answer = one.post("/executor/tasks/hi", {"name": "you"})
            self.assertEqual(one.stop(), 0)
            self.assertEqual((status, answer["result"]), (200, {"greeting": "you"}))


@unittest.skipIf(SANITIZED, "the sanitizers look for the same")
class Leftovers(unittest.TestCase):
    def test_valgrind_finds_no_memory_and_no_descriptor(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            wrapper = pathlib.Path(folder) / "taskwired"
            wrapper.write_text(
                "#!/bin/sh\n"
                f"exec valgrind --num-callers=40 --leak-check=full --show-leak-kinds=all --track-fds=yes --log-file={log} "
                f'--suppressions={ROOT}/tests/suppressions/valgrind.txt {pod.DAEMON} "$@"\n'
            )
            wrapper.chmod(0o755)
            one = Pod("--dev", daemon=wrapper).wait_ready()
            for body in ({"name": "a"}, {}, {"name": 1}):
                one.post("/executor/tasks/hello", body)
            one.post("/kafka/send/HELLO", {"name": "b"})
            one.post("/executor/tasks/batch", [{"topic": "HELLO", "name": "c"}, {}])
            one.raw(b"GARBAGE\r\n\r\n")
            self.assertEqual(one.stop(), 0)
            text = log.read_text()
            self.assertIn("ERROR SUMMARY: 0 errors", text, text[-3000:])
            for kind in ("definitely lost", "indirectly lost", "possibly lost", "still reachable"):
                self.assertRegex(text, rf"{kind}: 0 bytes|All heap blocks were freed", text[-3000:])
            opened = text[text.index("FILE DESCRIPTORS"):text.index("HEAP SUMMARY")]
            self.assertEqual(opened.count("Open "), opened.count("<inherited from parent>"), opened)

    def test_control_c(self):
        one = Pod("--dev").wait_ready()
        one.process.send_signal(signal.SIGINT)
        self.assertEqual(one.process.wait(20), 0)
        one.stop()


if __name__ == "__main__":
    unittest.main()
