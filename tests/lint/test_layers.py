"""Who may include whom, and which folder owns which library (core/README.md)."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BELOW = {
    "base": [],
    "config": ["base"],
    "contract": ["base"],
    "orchestrator": ["base", "config", "contract"],
    "kafka": ["base", "config", "contract", "orchestrator"],
    "memory": ["base", "config", "contract", "orchestrator"],
    "redis": ["base", "config", "contract", "orchestrator"],
    "http": ["base", "config", "contract", "orchestrator"],
    "ops": ["base", "config", "contract", "orchestrator"],
    "plugin": ["base", "contract"],
}
OWNERS = {
    "librdkafka/": {"kafka"},
    "hiredis/": {"redis"},
    "uv.h": {"redis"},
    "civetweb.h": {"http"},
    "yaml.h": {"config"},
    "json-c/": {"contract", "plugin"},
    "dlfcn.h": {"plugin"},
}


def includes():
    for path in sorted((ROOT / "core").glob("*/*.[ch]")):
        for line in path.read_text().splitlines():
            match = re.match(r'#include ["<]([^">]+)[">]', line)
            if match:
                yield path, match.group(1)


class Layers(unittest.TestCase):
    def test_folders_include_only_what_is_below(self):
        wrong = []
        for path, name in includes():
            folder, target = path.parent.name, name.split("/")[0]
            if folder in BELOW and (target in BELOW or target == "taskwired"):
                if target != folder and target not in BELOW[folder]:
                    wrong.append(f"{path.relative_to(ROOT)}: {name}")
        self.assertEqual(wrong, [])

    def test_every_library_has_one_owner(self):
        wrong = [
            f"{path.relative_to(ROOT)}: {name}"
            for path, name in includes()
            for library, owners in OWNERS.items()
            if name.startswith(library) and path.parent.name not in owners
        ]
        self.assertEqual(wrong, [])

    def test_nothing_sleeps(self):
        wrong = [
            str(path.relative_to(ROOT))
            for path in sorted((ROOT / "core").glob("*/*.c")) + sorted((ROOT / "plugins").glob("*/*.c"))
            if re.search(r"\b(sleep|usleep|nanosleep)\s*\(", path.read_text())
        ]
        self.assertEqual(wrong, [])

    def test_files_stay_short(self):
        long = {
            str(path.relative_to(ROOT)): lines
            for path in (ROOT / "core").glob("*/*.c")
            if (lines := len(path.read_text().splitlines())) > 400
        }
        self.assertEqual(long, {})


if __name__ == "__main__":
    unittest.main()
