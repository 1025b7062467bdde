#!/usr/bin/env python3
"""coverage.py LINES.json FLOORS FIRST: a table of what was executed, by folder, and a
check a folder that it is no less than its floor; the last line is the plan. FIRST is
the number of checks before these."""

import collections
import json
import pathlib
import sys


def main(lines, floors, first):
    files = {}
    for file in json.loads(pathlib.Path(lines).read_text())["files"]:
        counted = [line["count"] for line in file["lines"]
                   if not line.get("gcovr/noncode") and not line.get("gcovr/excluded")]
        files[file["file"]] = (len(counted), sum(count > 0 for count in counted))
    floor = dict(line.split() for line in pathlib.Path(floors).read_text().splitlines()
                 if line and not line.startswith("#"))
    folders = collections.defaultdict(lambda: [0, 0])
    for name, (total, hit) in files.items():
        folders[str(pathlib.PurePath(name).parent)][0] += total
        folders[str(pathlib.PurePath(name).parent)][1] += hit
    print(f"# {'folder':<24} {'lines':>6} {'executed':>9} {'floor':>6}")
    for name, (total, hit) in sorted(folders.items()):
        print(f"# {name:<24} {total:6} {100 * hit / total:7.1f} % "
              f"{floor.get(name, '-'):>4} %")
    print("# files below 80 %:")
    for name, (total, hit) in sorted(files.items()):
        if total and hit < 0.8 * total:
            print(f"#   {name:<40} {100 * hit / total:5.1f} % of {total}")
    number = first
    for name in sorted(folders.keys() | floor.keys()):
        total, hit = folders.get(name, (1, 0))
        number += 1
        good = name in floor and 100 * hit >= float(floor[name]) * total
        print(f"{'ok' if good else 'not ok'} {number} - {name}: "
              f"{100 * hit / total:.1f} % executed, floor {floor.get(name, 'missing')}")
    print(f"1..{number}")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
