"""Fuzzes every reader, of raw logs and of models, for some time and writes what came of it as a table.

    python table.py SECONDS REPORT [--at-once N] [TARGET ...]

Without targets it is all of them; with some, the rows of the others are kept. With `--at-once` that many are fuzzed beside each other.
With 0 seconds nothing is fuzzed, and the table loses the rows of targets that there are no more. A target that finds something stops
there: the table says so, the case lies in `artifacts/`, and the script ends with 1.
`make fuzz-all` does all of it.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import seeds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGETS = seeds.targets()

HEAD = """# Fuzzing the readers

{cores} cores of {processor}. Made by `{made_by}`; each target starts from the test fixtures. Edges are places of our code and of what it calls that were reached, before anything was changed in the fixtures and at
the end. A find is a panic, a broken claim of the target, an input that takes more than ten seconds or one that takes 2 GB.

| target | inputs tried | seconds | inputs a second | edges at the start | edges at the end | finds |
|---|---:|---:|---:|---:|---:|---:|
"""


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []:
        if line.startswith("model name"):
            return "an " + line.split(":", 1)[1].strip()
    return platform.machine()


def fuzz(target, seconds):
    """Runs one target; its row of the table, and whether it found something."""
    command = ["make", "--no-print-directory", "-C", str(ROOT), "fuzz", f"PARSER={target}", f"SECONDS={seconds}"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    edges = [int(number) for number in re.findall(r"\bcov: (\d+)", run.stdout)]
    kept = re.search(r"Test unit written to (\S*/(?:crash|oom|timeout)-\S+)", run.stdout)
    done = re.search(r"Done (\d+) runs in (\d+) second", run.stdout)
    if kept and run.returncode != 0:
        tried = re.findall(r"^#(\d+)", run.stdout, flags=re.MULTILINE)
        return [target, tried[-1] if tried else "?", "", "", *(edges[:1] or ["?"]), *(edges[-1:] or ["?"]), f"1: `{Path(kept[1]).name}`"], True
    if run.returncode != 0 or not done:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout[-4000:]}")
    tried, took = int(done[1]), int(done[2])
    return [target, f"{tried:,}", took, f"{tried // max(took, 1):,}", f"{edges[0]:,}", f"{edges[-1]:,}", 0], False


def is_gone(line):
    """Whether a line of a report is the row of a target that there is no more."""
    row = re.match(r"\| (\w+) \|", line)
    return row is not None and row[1] not in {*TARGETS, "target"}


def main(seconds, report, targets, at_once):
    if seconds == 0:
        lines = report.read_text().splitlines(keepends=True)
        report.write_text("".join(line for line in lines if not is_gone(line)))
        return
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        sys.exit(f"no fuzz target {unknown[0]}; there are {', '.join(TARGETS)}")
    rows, notes, any_found = {}, "", False
    if report.exists():
        *table, notes = report.read_text().split("|\n")
        if targets:
            rows = {name: f"{line}|" for line in table for name in TARGETS if line.startswith(f"| {name} |")}
    chosen = targets or TARGETS
    with ThreadPoolExecutor(at_once) as pool:
        for target, (row, found) in zip(chosen, pool.map(lambda target: fuzz(target, seconds), chosen)):
            any_found |= found
            rows[target] = f"| {' | '.join(map(str, row))} |"
            print(rows[target], flush=True)
    made_by = f"make fuzz-all SECONDS={seconds}" if at_once == 1 else f"pipeline/fuzz/table.py {seconds} {report} --at-once {at_once}"
    head = HEAD.format(cores=os.cpu_count(), processor=processor(), made_by=made_by)
    # What somebody wrote below the table stays.
    report.write_text(head + "".join(f"{rows[target]}\n" for target in sorted(rows)) + notes)
    sys.exit(int(any_found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=int)
    parser.add_argument("report", type=Path)
    parser.add_argument("targets", nargs="*", metavar="target")
    parser.add_argument("--at-once", type=int, default=1, metavar="N")
    asked = parser.parse_args()
    main(asked.seconds, asked.report, asked.targets, asked.at_once)
