# SPDX-License-Identifier: GPL-2.0-or-later
"""A fio client that knows nothing of us."""

import json
import struct
from pathlib import Path

import pytest

from pyfio_virtio.fio.fio import split_notes
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.plain import flags_of
from tests.conftest import Finished, StartBackend, run_to_end
from tests.pyfio_virtio.hosts.conftest import JOB, Client, Serve, Served

FLAGS = "; pyfio-virtio: --storage memory --disk-size 4M\n"


def run_fio(here: Served, folder: Path, text: str, *options: str) -> Finished:
    job = folder / "job.fio"
    job.write_text(text.replace("${DISK}", "disk.sock"))
    line = ["fio", f"--client=sock:{here.socket}", *options, str(job)]
    return run_to_end(line, {}, folder=folder)


@pytest.mark.parametrize("options", [(), ("--output-format=json",)], ids=["text", "json"])
def test_a_job_gets_the_disk_of_its_first_line(
    here: Served, private: Path, options: tuple[str, ...]
) -> None:
    ran = run_fio(here, private, FLAGS + JOB, *options)
    assert ran.status == 0, ran
    if options:
        document = json.loads(split_notes(ran.stdout)[1])
        assert document["client_stats"][0]["read"]["total_ios"] == 1000
    here.wait_until_idle()


def test_a_disk_has_as_many_queues_as_its_job_needs(here: Served, private: Path) -> None:
    ran = run_fio(here, private, f"{FLAGS}{JOB}numjobs=3\n")
    assert (ran.status, "error" in ran.stdout) == (0, False), ran


def test_a_job_of_scsi_gets_a_disk_of_scsi(here: Served, private: Path) -> None:
    flags = FLAGS.replace("--storage", "--backend builtin,device=scsi --storage")
    assert run_fio(here, private, f"{flags}{JOB}device=scsi\n").status == 0


def test_a_job_may_name_a_back_end_that_runs(
    here: Served, private: Path, builtin: StartBackend
) -> None:
    socket = builtin(size_bytes=4 << 20).socket
    assert run_fio(here, private, JOB.replace("${DISK}", socket)).status == 0
    assert run_fio(here, private, f"; pyfio-virtio: --backend {socket}\n{JOB}").status == 0


def test_a_job_without_a_disk(here: Served, private: Path) -> None:
    assert run_fio(here, private, "[a]\nioengine=null\nsize=4k\n").status == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--stoage null", "--stoage"),
        ("--disk-size x", "'x'"),
        ("--backend nbd", "nbd"),
        ("--storage file:/etc/passwd", "pyfio-virtio serve --allow /etc/passwd"),
        ("--cpus 0:0", "write cpus_allowed= in the job"),
        ("'", "close each quote"),
        ("run", "unexpected extra argument"),
        ("--backend /no/such/socket", "no such socket"),
        ("--backend builtin,serve=pol", "did you mean poll?"),
        ("--help", "--help"),
    ],
)
def test_a_wrong_first_line_is_refused_in_words(
    here: Served, private: Path, flags: str, words: str
) -> None:
    ran = run_fio(here, private, f"; pyfio-virtio: {flags}\n{JOB}")
    assert ran.status
    assert words in ran.stdout + ran.stderr, ran


def test_another_release_of_fio_is_refused_in_words(here: Served) -> None:
    with Client(here.socket, greets=False) as client:
        client.connection.sendall(wire.framed(96, wire.OPCODE_PROBE, bytes(136)))
        ((frame, payload),) = wire.Frames().feed(client.closes())
    assert (frame.version, frame.opcode) == (96, wire.OPCODE_TEXT)
    _, length, _, _ = struct.unpack_from("<IIQQ", payload)
    text = payload[24:].decode()
    assert len(text) == length
    assert "speaks version 96" in text
    assert "use the same release of fio" in text


def test_a_client_that_never_runs_its_job(served: Serve) -> None:
    here = served(limits={"plain._PATIENCE_S": 0.5})
    with Client(here.socket, greets=False) as client:
        frame = wire.framed(_protocol(here), wire.OPCODE_PROBE, bytes(136))
        client.connection.sendall(frame)
        assert b"a client was lost" in client.closes()


def _protocol(here: Served) -> int:
    """From the words with which it refuses another version."""
    with Client(here.socket, greets=False) as client:
        client.connection.sendall(wire.framed(1, wire.OPCODE_PROBE, b""))
        return int(client.closes().partition(b"it speaks version ")[2].split()[0])


def test_the_flags_of_a_job() -> None:
    assert flags_of(b"") is None
    assert flags_of(b"[a]\n; pyfio-virtio: x\n") is None
    assert flags_of(b"\n; another\n  # pyfio-virtio:  --a b \n[a]") == "--a b"
    assert flags_of(b"; pyfio-virtio: \xff\n") == "\ufffd"
    assert flags_of(b";pyfio-virtio:\r\n") == ""
