"""Measure how long a user waits for help, for the first training step and for the first segmented image, in seconds.

python benchmarks/startup.py [--data stage1_train.zip]

Each command is started three times in its own terminal; the table shows the median. The first start after an installation is
slower, because Python compiles the packages and the disk is cold.
"""

import argparse
import os
import pty
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

REPEATS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="images to train on (default: simulated ones, made before)")
    given = parser.parse_args()
    data = ["--data", str(Path(given.data).resolve())] if given.data else []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.png"
        draw(image)
        cases = {
            "`train_and_predict.py --help`": (["train_and_predict.py", "--help"], r"--resume \[RUN\]"),
            "`predict.py --help`": (["predict.py", "--help"], r"--resume"),
            "`train_and_predict.py dsb`, first training step": (["train_and_predict.py", "dsb", *data], r"Training:.*\s1/\d+"),
            "`predict.py` of one 512x512 image, all results": (["predict.py", str(image)], r"Look at .* first"),
        }
        print("| | s |\n|---|---|")
        for name, (command, sign) in cases.items():
            seconds = [until(command, sign, Path(folder) / f"{len(command[0])}-{number}") for number in range(REPEATS)]
            print(f"| {name} | {statistics.median(seconds):.1f} |", flush=True)


def draw(path):
    """Write an image of simulated nuclei."""
    import imageio.v3 as iio
    from sizes import mosaic

    iio.imwrite(path, mosaic(512))


def until(command, sign, output):
    """Start a script, and return the seconds until a line in its terminal matches ``sign``; then end the script."""
    options = [] if "--help" in command else ["--output", str(output)]
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (40, 120))  # a terminal without width would show no bars
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, *options], cwd=ROOT, stdout=writer, stderr=writer, start_new_session=True
    )
    os.close(writer)
    told = b""
    while not re.search(sign.encode(), told):
        try:
            told += os.read(reader, 4096)
        except OSError:  # it ended
            sys.exit(f"{' '.join(command)} never wrote {sign}:\n{told.decode()}")
    seconds = time.perf_counter() - start
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(reader)
    return seconds


if __name__ == "__main__":
    main()
