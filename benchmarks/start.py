"""python benchmarks/start.py: how long the page takes from the command to its first answer.

Printed are the processor time of the page's process until `/` answers with 200, which does not
depend on what else the machine does, and the seconds that passed. The worker, which starts at the
same moment and loads its model meanwhile, is not counted.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import start_program

TICKS = os.sysconf("SC_CLK_TCK")


def start_once() -> tuple[float, float]:
    """Return processor seconds and seconds until the first answer."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        program, _ = start_program(Path(folder))
        seconds = time.monotonic() - begin
        fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
        # It answers before it is ready to be ended.
        time.sleep(2.0)
        program.send_signal(signal.SIGTERM)
        program.wait(60)
    return (int(fields[11]) + int(fields[12])) / TICKS, seconds


def main() -> None:
    """Start and print; the first start, which may find nothing cached, is told apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    starts = [start_once() for _ in range(args.starts)]
    for number, (processor, seconds) in enumerate(starts, start=1):
        print(f"start {number}   processor {processor:6.2f} s   passed {seconds:6.1f} s")
    later = [processor for processor, _ in starts[1:] or starts]
    print(f"median of the later ones: {median(later):.2f} s of processor time")
    if args.json:
        args.json.write_text(json.dumps(starts) + "\n")


if __name__ == "__main__":
    main()
