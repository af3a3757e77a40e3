"""The program at the host's end of a throughput run: waits, writes the log file through `cat`, reports the times.

Run by file name with `python -I -S`, so that it starts fast and imports nothing of this project. It says READY, waits for a
byte on the `go` pipe, copies the file, then shows the end mark, reports "start done" in nanoseconds of the monotonic clock
(one clock for all processes of a machine), and stays until the harness has closed the pipe or written again.
"""

import os
import sys
import time

READY = b"BENCHMARK-READY"


def main() -> None:
    """Arguments: the go pipe, the report pipe, the end mark, the log file (as often as it is to be written)."""
    go_path, report_path, mark, *log_paths = sys.argv[1:]
    go = os.open(go_path, os.O_RDONLY)
    os.write(1, READY + b"\n")
    if not os.read(go, 1):
        return
    started_ns = time.monotonic_ns()
    cat = os.posix_spawnp("cat", ["cat", *log_paths], os.environ)
    os.waitpid(cat, 0)
    done_ns = time.monotonic_ns()
    os.write(1, b"\r\n" + mark.encode() + b"\r\n")
    report = os.open(report_path, os.O_WRONLY)
    os.write(report, b"%d %d\n" % (started_ns, done_ns))
    os.read(go, 1)


if __name__ == "__main__":
    main()
