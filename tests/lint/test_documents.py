"""What the guides say of settings and metrics is what the tables say."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Documents(unittest.TestCase):
    def test_every_setting_stands_in_the_guide_with_its_default(self):
        table = (ROOT / "core/config/settings.def").read_text()
        guide = (ROOT / "etc/README.md").read_text()
        settings = re.findall(r'^SETTING\((\w+), (\w+), (\w+), \w+, "(.*?)"', table, re.M)
        self.assertEqual(len(settings), table.count("\nSETTING("))
        for section, key, kind, default in settings:
            shown = default.rpartition("=")[2] if kind == "ENUM" else default
            row = re.search(rf"^\| `{section}\.{key}` \| (.*?) \|", guide, re.M)
            self.assertIsNotNone(row, f"{section}.{key}")
            if f"{section}.{key}" != "auth.mode":
                self.assertEqual(row.group(1).strip("`"), shown, f"{section}.{key}")
        rows = re.findall(r"^\| `(\w+\.\w+)` \|", guide, re.M)
        known = {f"{section}.{key}" for section, key, _, _ in settings} | {"events.channel"}
        self.assertEqual(set(rows) - known, set())

    def test_guides_name_files_that_exist(self):
        for guide in ROOT.glob("*/README.md"):
            for name in re.findall(r"`((?:core|plugins|include|etc|tests|packaging)/[\w./-]+)`", guide.read_text()):
                self.assertTrue((ROOT / name).exists(), f"{guide}: {name}")


if __name__ == "__main__":
    unittest.main()
