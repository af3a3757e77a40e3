"""A disk that refuses, for as long as a block: nothing of the test runner's own may be written meanwhile."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def files_ending_at(size_bytes: int) -> Iterator[None]:
    """Every file takes its first ``size_bytes`` and no more (RLIMIT_FSIZE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
