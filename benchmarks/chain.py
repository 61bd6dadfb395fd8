"""python benchmarks/chain.py: from words to a GLB, as a user waits for it.

Runs the command line as its own process for some known names and prints wall seconds, peak memory
and the report's agreement, with medians. The interpreter's start and the model's loading count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPTS = ("a wooden chair", "a red race car", "a palm tree", "a padlock", "a treasure chest")


def run_once(prompt: str, out: Path) -> dict[str, object]:
    """Return one run's measurements; raises RuntimeError where it does not end well."""
    command = [sys.executable, "-m", "pipelines", prompt, "--out", str(out), "--overwrite"]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # wait4 and not communicate: it tells this child's own peak memory.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    if status != 0:
        words = process.stderr.read().decode() if process.stderr else ""
        raise RuntimeError(f"{' '.join(command)} ended with {status}: {words}")
    report = json.loads((out / "report.json").read_text())
    return {
        "prompt": prompt,
        "seconds": round(seconds, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
        "stages": report["seconds"],
        "field_psnr": report["mean_psnr"],
        "mesh_psnr": report["mesh_psnr"],
        "watertight": report["watertight"],
        "faces": report["num_faces"],
    }


def main() -> None:
    """Run every prompt and print a table; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", nargs="*", default=PROMPTS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    print(f"{'prompt':28} {'seconds':>8} {'GiB':>6} {'field dB':>9} {'mesh dB':>8} closed")
    for prompt in args.prompts:
        with tempfile.TemporaryDirectory() as folder:
            row = run_once(prompt, Path(folder))
        rows.append(row)
        print(
            f"{prompt:28} {row['seconds']:8} {row['peak_gib']:6} {row['field_psnr']:9} "
            f"{row['mesh_psnr']:8} {row['watertight']}",
            flush=True,
        )
    for name in ("seconds", "peak_gib", "field_psnr", "mesh_psnr"):
        print(f"median {name}: {statistics.median(float(str(row[name])) for row in rows):.2f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
