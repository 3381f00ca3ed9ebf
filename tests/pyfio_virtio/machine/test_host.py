# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/host.py: this machine."""

import os
import resource
import subprocess
from pathlib import Path

from pyfio_virtio.machine import host


def test_the_cpus_are_those_that_may_be_used() -> None:
    assert host.describe().cpus == len(os.sched_getaffinity(0))


def test_the_kernel_is_the_one_that_runs() -> None:
    assert host.describe().kernel == os.uname().release


def test_no_limit_of_locked_memory_is_none() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    expected = None if soft == resource.RLIM_INFINITY else soft
    assert host.describe().memlock_bytes == expected


def test_each_size_of_huge_pages_says_where_it_is_set() -> None:
    for pages in host.describe().hugepages:
        assert int(Path(pages.file).read_text()) == pages.total
        assert pages.free <= pages.total


def test_fio_is_given_a_clock_that_it_takes() -> None:
    clock = host.fio_clock()
    if clock:
        run = ["fio", f"--clocksource={clock}", "--name=j", "--ioengine=null", "--size=4k"]
        subprocess.run(run, check=True, capture_output=True)


# ---- memory --------------------------------------------------------------------------------------

GIB = 1 << 30


def machine(root: Path, **files: str) -> Path:
    """A folder that looks like /, with 8 GiB available; `_` stands for a slash in a file's name."""
    for name, text in {"proc_meminfo": f"MemAvailable: {8 << 20} kB", **files}.items():
        path = root / name.replace("_", "/").replace("+", "_")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups_the_machine_decides(tmp_path: Path) -> None:
    assert host.free_memory_bytes(machine(tmp_path)) == 8 * GIB


def test_a_group_without_a_limit_changes_nothing(tmp_path: Path) -> None:
    files = {"proc_self_cgroup": "0::/a", "sys_fs_cgroup_a_memory.max": "max"}
    files["sys_fs_cgroup_a_memory.current"] = "5"
    assert host.free_memory_bytes(machine(tmp_path, **files)) == 8 * GIB


def test_a_group_leaves_what_is_not_used_of_its_limit(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_a_memory."
    files = {"proc_self_cgroup": "0::/a", f"{group}max": str(3 * GIB), f"{group}current": str(GIB)}
    files[f"{group}stat"] = f"anon 7\ninactive_file {GIB // 2}\n"
    # The name in memory.stat has an underline of its own.
    assert host.free_memory_bytes(machine(tmp_path, **files)) == 5 * GIB // 2


def test_the_limit_of_a_group_above_counts_too(tmp_path: Path) -> None:
    files = {"proc_self_cgroup": "0::/a/b"}
    files |= {"sys_fs_cgroup_memory.max": str(GIB), "sys_fs_cgroup_memory.current": "0"}
    files |= {"sys_fs_cgroup_a_b_memory.max": "max", "sys_fs_cgroup_a_b_memory.current": "0"}
    assert host.free_memory_bytes(machine(tmp_path, **files)) == GIB


def test_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_memory_c_memory."
    files = {"proc_self_cgroup": "3:cpu:/x\n4:memory:/c\n0::/", f"{group}limit+in+bytes": str(GIB)}
    files[f"{group}usage+in+bytes"] = str(GIB // 4)
    assert host.free_memory_bytes(machine(tmp_path, **files)) == 3 * GIB // 4


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_memory."
    files = {"proc_self_cgroup": "0::/", f"{group}max": "10", f"{group}current": "20"}
    assert host.free_memory_bytes(machine(tmp_path, **files)) == 0


def test_this_machine_has_free_memory() -> None:
    assert 0 < host.free_memory_bytes() < 1 << 60
