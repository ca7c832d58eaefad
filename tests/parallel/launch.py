"""Start all worlds, one after another: processes that are forked from one which has imported everything."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist

from tests.parallel import four, killed, two
from tests.parallel.world import join_world, run_cases

WORLDS: dict[str, tuple[int, Callable[[Path], None]]] = {
    "two": (2, lambda out: run_cases(two.CASES, out)),
    "four": (4, lambda out: run_cases(four.CASES, out)),
    "killed": (2, killed.run),
}
PATIENCE = 300


def start(name: str, out: Path) -> list[int]:
    """Run a world to its end and return what its processes exit with; who is late is killed."""
    size, work = WORLDS[name]
    folder = out / name
    folder.mkdir()
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            _be(rank, size, folder, work)
        children.append(child)
    codes, late = {}, time.monotonic() + PATIENCE
    while len(codes) < size:
        for child in set(children) - set(codes):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > late:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    return [codes[child] for child in children]


def _be(rank: int, size: int, folder: Path, work: Callable[[Path], None]) -> None:
    log = os.open(folder / f"log{rank}", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        join_world(folder / "store", rank, size)
        work(folder)
        if dist.get_rank() == 0:
            dist.destroy_process_group()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(out: Path) -> None:
    """Start every world, and write what the processes of each exited with."""
    codes = {name: start(name, out) for name in WORLDS}
    (out / "codes.json").write_text(json.dumps(codes), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
