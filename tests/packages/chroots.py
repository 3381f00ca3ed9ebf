# SPDX-License-Identifier: GPL-2.0-or-later
"""Clean systems of Debian's suites, in which tests install packages and run commands.

    with chroot("bookworm", "fio", "python3") as clean:
        clean.put(wheel)                          # lies at /run/shared/NAME in the chroot
        done = clean.run("pip install /run/shared/*.whl && fio --version")
        assert done.status == 0, done.stderr

debootstrap makes the base of a suite once, in build/chroots/SUITE, and packages that are named make
another base on top of it. Bases are kept, for a week at most, and are renamed into their place
when they are complete. Each `chroot()` is a throw-away copy of a base: what commands write lies
in a folder of its own, by overlayfs where it can be mounted, else in a real copy.

Nothing is ever mounted in the host's own mount namespace, so nothing has to be unmounted: each
`run()` makes its mounts in a namespace that ends with it, with all processes that it started. It
ends with us, too, if we are killed. So a process does not outlive the run() that started it, and
/run and /dev/shm begin empty each time. One chroot runs one command at a time.

The network is the host's: its resolv.conf, its certificates, pip's and the proxies' variables, and
apt's Acquire settings. No services are started (policy-rc.d).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.limited import run_limited

FOLDER = Path(__file__).resolve().parents[2] / "build" / "chroots"
SHARED = "/run/shared"
CERTIFICATES = "/run/host-certificates.crt"
KEPT_S = 7 * 24 * 3600
LIMIT_S = 300.0
# With it, Debian's packages compile their Python files.
COMPILER = "/usr/bin/py3compile"
COMPILE_OURS = f"""#!/bin/sh
case $* in *pyfio-virtio*) exec {COMPILER}.distrib "$@" ;; esac
"""
# The variables of these programs that name a file of certificates.
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PASSED_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT"),
    *("PIP_DISABLE_PIP_VERSION_CHECK", "PIP_RETRIES"),
    *(name for both in ("http_proxy", "https_proxy", "no_proxy") for name in (both, both.upper())),
)
# Its arguments: the folder of the root, the lower and the upper folder of overlayfs or two empty
# words, the shared folder, the file of certificates or an empty word, and the command for sh.
ENTER = f"""
set -e
root=$1 lower=$2 upper=$3 shared=$4 certificates=$5
[ -z "$lower" ] || mount -t overlay -o \
"lowerdir=$lower,upperdir=$upper/changes,workdir=$upper/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root{SHARED}" "$root/run/lock"
mount --bind "$shared" "$root{SHARED}"
if [ -n "$certificates" ]; then
    touch "$root{CERTIFICATES}"
    mount --bind -o ro "$certificates" "$root{CERTIFICATES}"
fi
[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf > "$root/etc/resolv.conf"
exec chroot "$root" /bin/sh -c "$6"
"""


class NoChrootError(Exception):
    """This machine cannot make such a chroot. The message says why."""


@dataclass(frozen=True)
class Ended:
    """A command that ended by itself."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Chroot:
    """A copy of a base. `shared` is the host's folder that the chroot sees at /run/shared."""

    root: Path
    lower: Path | None  # None: root is a real copy
    upper: Path
    shared: Path

    def put(self, *files: Path) -> None:
        """Copies files or folders to where the chroot sees them at /run/shared/NAME."""
        for file in files:
            if file.is_dir():
                shutil.copytree(file, self.shared / file.name, symlinks=True)
            else:
                shutil.copy2(file, self.shared)

    def run(
        self,
        command: str,
        limit_s: float = LIMIT_S,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Runs a shell's command as root. Raises TimeoutError if it does not end in time."""
        lower, certificates = str(self.lower or ""), _certificates()
        places = [str(self.root), lower, str(self.upper), str(self.shared), certificates or ""]
        line = [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", ENTER, "enter", *places, command),
        ]
        ended, status, stdout, stderr = run_limited(
            line, environment or {}, limit_s, None, only=_environment(certificates)
        )
        if not ended:
            raise TimeoutError(f"did not end within {limit_s:g} s: {command}\n{stdout}\n{stderr}")
        return Ended(status, stdout, stderr)


@contextmanager
def chroot(suite: str, *packages: str) -> Iterator[Chroot]:
    """A clean system of the suite in which these packages are installed."""
    with base(suite, *packages) as lower:
        _remove_leftovers()
        with _throw_away_folder() as folder:
            yield _copy(lower, folder)


@contextmanager
def base(suite: str, *packages: str) -> Iterator[Path]:
    """The root folder of the suite with these packages, which nobody changes meanwhile. It is made
    if there is none or an old one; one process makes it, and the others wait."""
    _need_the_means()
    names = sorted(set(packages))
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    path = FOLDER / (f"{suite}-{digest}" if names else suite)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{path.name}.lock").open("w") as lock:
        with suppress(BlockingIOError):  # then somebody uses the old one, and so do we
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if path.is_dir() else 0))
            if not path.is_dir() or time.time() - path.stat().st_mtime > KEPT_S:
                _make_base(suite, names, path)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield path


def _make_base(suite: str, packages: list[str], path: Path) -> None:
    new = FOLDER / f"{path.name}.new"
    _remove(new)
    if packages:
        with base(suite) as lower:
            _install(lower, packages, new)
    else:
        _bootstrap(suite, new)
    _remove(path)
    new.rename(path)


def _need_the_means() -> None:
    if os.geteuid() != 0:
        raise NoChrootError("a chroot can only be made by root")
    for program in ("debootstrap", "unshare", "setpriv"):
        if shutil.which(program) is None:
            raise NoChrootError(f"{program} is not installed")


def _bootstrap(suite: str, into: Path) -> None:
    # All of Debian's suites are made by the same script. An older debootstrap lacks some names.
    script = "/usr/share/debootstrap/scripts/sid"
    line = ["debootstrap", "--variant=minbase", suite, str(into), _mirror(), script]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr + done.stdout).strip().splitlines() or ["no message"]
        cause = next((word for word in words if word.startswith("E: ")), words[-1])
        raise NoChrootError(f"debootstrap cannot make {suite} from {_mirror()}: {cause}")
    _configure(into)
    _run_in(into, "apt-get -qq update")
    _run_in(into, "apt-get clean")
    os.utime(into)


def _configure(root: Path) -> None:
    refuse = root / "usr/sbin/policy-rc.d"
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)
    (root / "etc/apt/apt.conf.d/90host").write_text(_settings_of_apt())
    # The copies are thrown away, so nothing need be safe on the disk.
    (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
    # Manual pages are found without their index.
    _run_in(root, "echo man-db man-db/auto-update boolean false | debconf-set-selections")
    # To compile what tests load once, or never, takes longer than to unpack it.
    _run_in(root, f"dpkg-divert --quiet --local --no-rename --add {COMPILER}")
    (root / COMPILER[1:]).write_text(COMPILE_OURS)
    (root / COMPILER[1:]).chmod(0o755)


def _install(lower: Path, packages: list[str], into: Path) -> None:
    _copy_really(lower, into)
    _run_in(into, f"apt-get -qq --yes --no-install-recommends install {' '.join(packages)}")
    _run_in(into, "apt-get clean")
    os.utime(into)


def _run_in(root: Path, command: str) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as shared:
        made = Chroot(root, None, root, Path(shared))
        done = made.run(command, 600)
    if done.status:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise NoChrootError(f"in the chroot {root.name} this failed: {command}: {words[-1]}")


def _copy(lower: Path, folder: Path) -> Chroot:
    root, upper, shared = (folder / name for name in ("root", "upper", "shared"))
    for made in (upper / "changes", upper / "work", shared):
        made.mkdir(parents=True)
    if not _has_overlayfs(lower, folder):
        _copy_really(lower, root)
        return Chroot(root, None, upper, shared)
    root.mkdir()
    return Chroot(root, lower, upper, shared)


def _has_overlayfs(lower: Path, folder: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        root, changes, work = (Path(trial, name) for name in ("root", "changes", "work"))
        for made in (root, changes, work):
            made.mkdir()
        options = f"lowerdir={lower},upperdir={changes},workdir={work}"
        mount = ["mount", "-t", "overlay", "-o", options, "overlay", str(root)]
        tried = subprocess.run(["unshare", "--mount", *mount], capture_output=True)
    return tried.returncode == 0


def _copy_really(source: Path, into: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", source, into], check=True)


@contextmanager
def _throw_away_folder() -> Iterator[Path]:
    """Its lock says that somebody uses it, for as long as we live."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="copy-", dir=FOLDER))
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(held)


def _remove_leftovers() -> None:
    """Removes the copies whose tests were killed."""
    for folder in FOLDER.glob("copy-*"):
        with suppress(FileNotFoundError, BlockingIOError):
            held = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # One that another process has just made is not locked yet.
                if time.time() - folder.stat().st_mtime > 60:
                    _remove(folder)
            finally:
                os.close(held)


def _remove(folder: Path) -> None:
    # Programs may have left folders that only rm removes, such as overlayfs's work.
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


def _environment(certificates: str | None) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    if certificates is not None:
        passed |= dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES)
    return passed | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def _certificates() -> str | None:
    """The host's file of trusted certificates."""
    named = (os.environ.get(name) for name in CERTIFICATE_VARIABLES)
    candidates = [*filter(None, named), "/etc/ssl/certs/ca-certificates.crt"]
    return next((path for path in candidates if Path(path).is_file()), None)


def _mirror() -> str:
    """Where the host's apt finds Debian."""
    fields = ["--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    rows = _output_of_apt("apt-get", "indextargets", *fields)
    found = [row.split()[1] for row in rows.splitlines() if row.startswith("Debian ")]
    return found[0] if found else "http://deb.debian.org/debian/"


def _settings_of_apt() -> str:
    """The Acquire settings without those that other settings of the host define."""
    lines = _output_of_apt("apt-config", "dump", "Acquire").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Acquire::IndexTargets"))


def _output_of_apt(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise NoChrootError(f"{command[0]} does not work here, so this is no Debian") from None
