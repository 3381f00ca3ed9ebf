# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts as network namespaces of this machine, each with a real `pyfio-virtio serve`.

- `network()` makes a namespace for the controller, which has a bridge. Network.add(name) makes that
  of a host, joined to the bridge by a pair of veth devices; add(name, delay_s=..., loss=...) joins
  it by a link with netem or, where the kernel has none, by slow_link.py. It raises NotAllowedError
  where this machine allows no namespaces.
- Space.start(...) runs a command in a namespace; .processes() are all that run there.
- Site.serve() lets a host serve; .address is what hosts.toml needs.

No namespace has a name: a process holds it, and it vanishes with all its devices when the last
process in it has ended. The holders end with the test's process, whatever ends that one. So nothing
is left, and tests that run at the same time cannot meet.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from pyfio_virtio.engine import engine
from tests.conftest import ROOT
from tests.waiting import wait_until

LIMIT_S = 30.0
_PORT = 8765


class NotAllowedError(Exception):
    """Why this machine has no namespaces for us."""


class Space:
    """A network namespace, and a private folder for what runs in it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo made; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        if not self._holder.stdout.readline():
            _, why = self._holder.communicate(timeout=LIMIT_S)
            raise NotAllowedError(f"cannot make a network namespace: {why.strip()}")
        self.pid = self._holder.pid

    def line(self, *command: str) -> list[str]:
        """The command, in this namespace."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]

    def ip(self, batch: str) -> None:
        """Lines for `ip`."""
        why = self.failure("ip", "-batch", "-", words=batch)
        assert not why, f"{batch}: {why}"

    def failure(self, *command: str, words: str = "") -> str:
        """Runs a command here. Returns its last words if it fails, else nothing."""
        done = subprocess.run(
            self.line(*command), input=words, capture_output=True, text=True, timeout=LIMIT_S
        )
        return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""

    def start(
        self, *arguments: str, stdout: int | IO[str], stderr: int | IO[str], **environment: str
    ) -> subprocess.Popen[str]:
        """Starts pyfio-virtio here, with its files in the folder of this namespace."""
        here = {"XDG_RUNTIME_DIR": str(self.folder), "TMPDIR": str(self.folder)}
        ours = {"PYTHONPATH": str(ROOT), engine.FOLDER_VARIABLE: str(engine.folder())}
        return subprocess.Popen(
            self.line(sys.executable, "-m", "pyfio_virtio", *arguments),
            cwd=self.folder,
            env={**os.environ, **ours, **here, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    def processes(self, name: str = "") -> list[int]:
        """All processes in the namespace, or those of this program, but not its holder."""
        mine = os.stat(f"/proc/{self.pid}/ns/net").st_ino  # noqa: PTH116 - it is no file
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                is_here = entry.name.isdigit() and (entry / "ns/net").stat().st_ino == mine
                if is_here and (not name or name in _names(entry)):
                    found.append(int(entry.name))
        return sorted(set(found) - {self.pid})

    def close(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes(), f"the end of all in {self.name}")
        self._holder.communicate(timeout=LIMIT_S)


class Site(Space):
    """A host: a namespace with an address, in which `pyfio-virtio serve` may run."""

    def __init__(self, name: str, folder: Path, number: int) -> None:
        super().__init__(name, folder)
        self.ip_address = f"10.99.0.{number}"
        self.address = f"{self.ip_address}:{_PORT}"
        self._serve: subprocess.Popen[str] | None = None

    def serve(self, *arguments: str) -> None:
        """Lets it serve, unless it does."""
        if self._serve is not None and self._serve.poll() is None:
            return
        self.end()
        with (self.folder / "serve.log").open("a") as errors:
            self._serve = self.start(
                *("serve", "--listen", self.ip_address, *arguments),
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._serve.stdout
        assert self._serve.stdout.readline().strip() == self.address, self.said()

    @property
    def serving(self) -> int:
        """The process of serve."""
        assert self._serve
        return self._serve.pid

    def sessions(self) -> list[int]:
        """The processes of its sessions."""
        return [each for each in self.processes() if _parent(each) == self.serving]

    def said(self) -> str:
        return (self.folder / "serve.log").read_text()

    def left(self) -> Sequence[object]:
        """What is there besides serve itself."""
        processes = [each for each in self.processes() if each != self.serving]
        files = [name for _, folders, names in os.walk(self.folder) for name in (*folders, *names)]
        return [*processes, *(each for each in files if each.startswith("run-") or ".sock" in each)]

    def wait_until_clear(self) -> None:
        wait_until(lambda: not self.left(), f"the end of all in {self.name}")

    def wait_until_it_runs(self) -> None:
        """fio's server forks for the connection, and again for the jobs when they start."""
        wait_until(lambda: len(self.processes("fio")) >= 3, f"the jobs of {self.name}")

    def end(self) -> None:
        """Ends serve."""
        if self._serve is not None:
            self._serve.terminate()
            self._serve.communicate(timeout=LIMIT_S)
            self._serve = None

    def close(self) -> None:
        try:
            self.end()
        finally:
            super().close()


class Network:
    """The controller's namespace, `own`, and the hosts."""

    def __init__(self, folder: Path, until: ExitStack) -> None:
        self._folder, self._until = folder, until
        self.own = Space("controller", folder)
        until.callback(self.own.close)
        for kind in ("bridge", "veth"):
            if why := self.own.failure("ip", "link", "add", f"try-{kind}", "type", kind):
                raise NotAllowedError(f"cannot make a device of the kind {kind}: {why}")
        self.own.ip(
            "link set lo up\n"
            "link add br0 type bridge\n"
            "address add 10.99.0.1/24 dev br0\n"
            "link set br0 up\n"
        )
        self.sites: dict[str, Site] = {}

    def add(self, name: str, delay_s: float = 0.0, loss: float = 0.0) -> Site:
        """A host. A round trip to it takes `delay_s`, and `loss` is the share of lost frames."""
        site = Site(name, self._folder, len(self.sites) + 10)
        self._until.callback(site.close)
        if delay_s or loss:
            self._add_bad_link(site, delay_s, loss)
        else:
            self._add_link(site)
        self.own.ip(f"link set to-{name} master br0 up\n")
        site.ip(f"link set lo up\naddress add {site.ip_address}/24 dev eth0\nlink set eth0 up\n")
        self.sites[name] = site
        return site

    def _add_link(self, site: Site) -> None:
        self.own.ip(f"link add to-{site.name} type veth peer name eth0 netns {site.pid}\n")

    def _add_bad_link(self, site: Site, delay_s: float, loss: float) -> None:
        self._add_link(site)
        how = ("delay", f"{1000 * delay_s:g}ms", "loss", f"{100 * loss:g}%")
        if site.failure("tc", "qdisc", "add", "dev", "eth0", "root", "netem", *how):
            self.own.ip(f"link delete to-{site.name}\n")
            ends = (self.own.pid, f"to-{site.name}", site.pid, "eth0")
            self._until.enter_context(_slow_link(*map(str, (*ends, delay_s, loss))))


@contextmanager
def _slow_link(*arguments: str) -> Iterator[None]:
    carrier = subprocess.Popen(
        [sys.executable, "-m", "tests.pyfio_virtio.hosts.slow_link", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert carrier.stdout
        if not carrier.stdout.readline():
            _, why = carrier.communicate(timeout=LIMIT_S)
            last = why.strip().rpartition("\n")[2]
            raise NotAllowedError(f"the kernel has no netem, and no TAP devices: {last}")
        yield
    finally:
        carrier.communicate(timeout=LIMIT_S)


def _names(process: Path) -> list[str]:
    """Its program, and its arguments, of which one may be a module of Python."""
    words = (process / "cmdline").read_text().split("\0")
    return [Path(words[0]).name, *words]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@contextmanager
def network() -> Iterator[Network]:
    if missing := [each for each in ("ip", "tc", "nsenter", "unshare") if not shutil.which(each)]:
        raise NotAllowedError(f"there is no {missing[0]}")
    folder = Path(tempfile.mkdtemp(prefix="pv-"))
    try:
        with ExitStack() as until:
            yield Network(folder, until)
    finally:
        shutil.rmtree(folder)
