"""A process that writes an audit log: `python auditwriter.py DIRECTORY LINES FILE_BYTES FILES NAME`.

Says `ready` when it has written its first line. Without an end (LINES 0) it writes until it is killed.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from codewrap.store.audit import AuditLog


def main() -> None:
    directory, lines, file_bytes, files, name = sys.argv[1:]
    log = AuditLog(Path(directory), int(file_bytes), int(files), lock_wait_s=60)
    for number in itertools.count(1):
        log.write("input", user=name, number=number, padding="x" * (number % 150))
        if number == 1:
            print("ready", flush=True)
        if number == int(lines):
            break
    log.close()
    sys.exit(1 if log.refused_writes else 0)


if __name__ == "__main__":
    main()
