# SPDX-License-Identifier: GPL-2.0-or-later
"""machine/memory.py: how much memory is free."""

from pathlib import Path

from pyfio_virtio.machine import memory

GIB = 1 << 30


def machine(root: Path, **files: str) -> Path:
    """A folder that looks like /, with 8 GiB available; `_` stands for a slash in a file's name."""
    for name, text in {"proc_meminfo": f"MemAvailable: {8 << 20} kB", **files}.items():
        path = root / name.replace("_", "/").replace("+", "_")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups_the_machine_decides(tmp_path: Path) -> None:
    assert memory.free_bytes(machine(tmp_path)) == 8 * GIB


def test_a_group_without_a_limit_changes_nothing(tmp_path: Path) -> None:
    files = {"proc_self_cgroup": "0::/a", "sys_fs_cgroup_a_memory.max": "max"}
    files["sys_fs_cgroup_a_memory.current"] = "5"
    assert memory.free_bytes(machine(tmp_path, **files)) == 8 * GIB


def test_a_group_leaves_what_is_not_used_of_its_limit(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_a_memory."
    files = {"proc_self_cgroup": "0::/a", f"{group}max": str(3 * GIB), f"{group}current": str(GIB)}
    files[f"{group}stat"] = f"anon 7\ninactive_file {GIB // 2}\n"
    # The name in memory.stat has an underline of its own.
    assert memory.free_bytes(machine(tmp_path, **files)) == 5 * GIB // 2


def test_the_limit_of_a_group_above_counts_too(tmp_path: Path) -> None:
    files = {"proc_self_cgroup": "0::/a/b"}
    files |= {"sys_fs_cgroup_memory.max": str(GIB), "sys_fs_cgroup_memory.current": "0"}
    files |= {"sys_fs_cgroup_a_b_memory.max": "max", "sys_fs_cgroup_a_b_memory.current": "0"}
    assert memory.free_bytes(machine(tmp_path, **files)) == GIB


def test_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_memory_c_memory."
    files = {"proc_self_cgroup": "3:cpu:/x\n4:memory:/c\n0::/", f"{group}limit+in+bytes": str(GIB)}
    files[f"{group}usage+in+bytes"] = str(GIB // 4)
    assert memory.free_bytes(machine(tmp_path, **files)) == 3 * GIB // 4


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    group = "sys_fs_cgroup_memory."
    files = {"proc_self_cgroup": "0::/", f"{group}max": "10", f"{group}current": "20"}
    assert memory.free_bytes(machine(tmp_path, **files)) == 0


def test_this_machine_has_free_memory() -> None:
    assert 0 < memory.free_bytes() < 1 << 60
