# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio_headers.py claims: the libraries that fio is configured with do not move what we use.

So an engine that was compiled after a plain ./configure fits a fio with all libraries. Small
headers stand for those of the libraries; what they declare has the size that the real one has.
"""

import subprocess
from pathlib import Path

import fio_headers
import pytest

from tests.engine.fio_trees import ENGINE, ROOT, used_members

# A plain ./configure finds posixaio, and none of these.
LIBRARIES = {
    "LIBAIO": ("libaio.h", "struct iocb { char bytes[64]; };"),
    "RDMA": ("rdma/rdma_cma.h", ""),
    "CUDA": (
        "cuda.h",
        "typedef int CUdevice; typedef void *CUcontext; typedef unsigned long long CUdeviceptr;",
    ),
    "LIBNUMA": ("numa.h", "struct bitmask;"),
}


def offsets(folder: Path, *flags: str) -> list[str]:
    """Where each member lies, and how large each structure is that fio makes arrays of."""
    tree = fio_headers.tree_of_installed(ROOT / "build")
    shown = [f"offsetof(struct {structure}, {member})" for structure, member in used_members()]
    shown += ["sizeof(struct io_u)", "sizeof(struct fio_file)", "sizeof(struct ioengine_ops)"]
    prints = "\n".join(f'printf("{name}: %zu\\n", {name});' for name in shown)
    source, program = folder / "offsets.c", folder / "offsets"
    source.write_text(f'#include "fio/compat.h"\nint main(void) {{ {prints} return 0; }}\n')
    fio = ("-isystem", str(tree), "-include", str(tree / "config-host.h"))
    own = ("-std=gnu11", "-D_GNU_SOURCE", "-w", "-iquote", str(ENGINE))
    command = ["gcc", *own, *fio, *flags, str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    return subprocess.check_output([program], text=True).splitlines()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_moves_no_member_that_the_engine_uses(library: str, tmp_path: Path) -> None:
    name, text = LIBRARIES[library]
    folder = tmp_path / "stand-in"
    header = folder / name
    header.parent.mkdir(parents=True)
    header.write_text(f"{text}\n")
    with_it = (f"-DCONFIG_{library}", "-isystem", str(folder))
    assert offsets(tmp_path, *with_it) == offsets(tmp_path)
