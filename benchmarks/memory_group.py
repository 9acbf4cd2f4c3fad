"""A control group whose processes, with the file cache that they fill, have so much memory.

Version 1 and 2 of the kernel's control groups; both need root. The cache of a file is counted for
the group that first reads it, so that what a server may keep of its files can be limited, if
nothing of them is in memory when it starts.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MOUNTS, OWN = Path("/proc/self/mounts"), Path("/proc/self/cgroup")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
LARGE = 2**40
IN_MEMORY = ("tmpfs", "ramfs")


class GroupError(RuntimeError):
    """Memory cannot be limited here; the message says what it needs."""


class Controller(NamedTuple):
    """Where the memory controller is mounted, and this process's own group within it."""

    version: int
    root: Path
    own: Path


FILES = {
    1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    2: ("memory.max", "memory.swap.max"),
}


def memory_controller(mounts: Path = MOUNTS, own: Path = OWN) -> Controller:
    """Version 1 where the memory controller is bound to it, else 2; GroupError for neither."""
    fields = [line.split() for line in mounts.read_text("utf-8").splitlines()]
    paths = dict(
        line.split(":", 2)[1:]
        for line in own.read_text("utf-8").splitlines()
        if line.count(":") > 1
    )
    for _, place, kind, options, *_ in fields:
        if kind == "cgroup" and "memory" in options.split(","):
            # the line of this process may name several controllers
            path = next(path for names, path in paths.items() if "memory" in names.split(","))
            return Controller(1, Path(place), _within(Path(place), path))
    for _, place, kind, *_ in fields:
        controllers = Path(place, "cgroup.controllers")
        if kind == "cgroup2" and controllers.is_file() and "memory" in controllers.read_text():
            return Controller(2, Path(place), _within(Path(place), paths[""]))
    raise GroupError("no control group of memory is mounted: expected cgroup (v1) or cgroup2")


def _within(root: Path, path: str) -> Path:
    """A group's folder; the mount itself where a namespace hides the groups above it."""
    found = root / path.lstrip("/")
    return found if found.is_dir() else root


class MemoryGroup:
    """A group below the root of a controller's mount; made by `memory_group`."""

    def __init__(self, controller: Controller, name: str) -> None:
        self._controller = controller
        self.folder = controller.root / name
        self._limit, self._swap = FILES[controller.version]

    def make(self) -> None:
        """Make the group, without a limit."""
        if self._controller.version == 2:
            (self._controller.root / "cgroup.subtree_control").write_text("+memory")
        self.folder.mkdir(exist_ok=True)

    def limit(self, limit: int) -> None:
        """Set the limit in bytes; without swap, where that is counted."""
        (self.folder / self._limit).write_text(str(limit))
        if (self.folder / self._swap).is_file():
            swap = limit if self._controller.version == 1 else 0
            (self.folder / self._swap).write_text(str(swap))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process belongs to the group for a while: what it starts then stays in it."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self._controller.own / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self, seconds: float = 20) -> None:
        """Remove the group; a process that has ended may be counted for a while yet."""
        ends = time.monotonic() + seconds
        while True:
            try:
                return self.folder.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > ends:
                    raise
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """Ids of the processes in the group."""
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]


@contextmanager
def memory_group(name: str, controller: Controller | None = None) -> Iterator[MemoryGroup]:
    """A group that is removed in the end, when its processes have ended.

    Its limit comes last: a process that enters it, to start others, may need more. GroupError says
    what is missing where one cannot be made.
    """
    group = MemoryGroup(controller or memory_controller(), name)
    try:
        group.make()
        group.limit(LARGE)
    except OSError as error:
        raise GroupError(
            f"a control group under {group.folder.parent} cannot be made "
            f"({error.strerror}): that takes root, and for version 2 a mount that may be written "
            "and whose own group holds no processes; --limits none measures without one"
        ) from error
    try:
        yield group
    finally:
        group.remove()


def drop_file_cache() -> None:
    """Write out what is dirty and forget what is clean, so that files are read from the disk."""
    os.sync()
    try:
        DROP_CACHES.write_text("1")
    except OSError as error:
        raise GroupError(f"{DROP_CACHES} cannot be written: that takes root") from error


def check_on_disk(folder: Path, mounts: Path = MOUNTS) -> None:
    """GroupError where a folder's files never leave memory."""
    fields = [line.split() for line in mounts.read_text("utf-8").splitlines()]
    places = {Path(place): kind for _, place, kind, *_ in fields}
    resolved = folder.resolve()
    kind = next(places[p] for p in (resolved, *resolved.parents) if p in places)
    if kind in IN_MEMORY:
        raise GroupError(f"{folder} lies in memory ({kind}): name a folder on a disk by --folder")
