"""The process that measures: one core, one thread of each library, malloc that keeps its memory.

Nothing but the standard library may be loaded before this: libraries count cores and read these
variables once, when they are loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gradproof.cli.record import environment, usable_cores

TWO_CORES = "--two-cores"


def prepare(arguments: Sequence[str]) -> list[int]:
    """Pin this process, and start it again where the environment is not what it must be.

    arguments: those of the command line. Returns the cores; none where the system cannot pin.
    """
    threads = 2 if TWO_CORES in arguments else 1
    cores = usable_cores(threads)
    if cores:
        os.sched_setaffinity(0, cores)  # kept by the process that starts in place of this one
    wanted = environment(threads)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **wanted})
    return cores
