# SPDX-License-Identifier: GPL-2.0-or-later
"""Imitated latency: its notation, and the order of deadlines. No test here measures time."""

from pathlib import Path

import pytest

from pyfio_virtio.errors import PyfioVirtioError
from tests.backend.conftest import StartBuiltin
from tests.backend.disk_requests import BLK_OK, BLK_READ, BlkRequest, blk
from tests.backend.frontend import Frontend, Memory

MODES = ["poll", "event", "adaptive"]


@pytest.mark.parametrize("serve", MODES)
@pytest.mark.parametrize("words", ["none", "0", "200ns", "20us", "1ms", "10us,30us/1ms"])
def test_requests_complete_with_any_latency(backend: StartBuiltin, serve: str, words: str) -> None:
    with Frontend(backend(serve=serve, latency=words).settings.socket_path) as frontend:
        for _ in range(20):
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


@pytest.mark.parametrize("serve", MODES)
def test_a_thousand_requests_complete_in_the_order_of_their_deadlines(
    backend: StartBuiltin, tmp_path: Path, serve: str
) -> None:
    """They arrive together, and each has a shorter latency than the one before."""
    count = 1000
    trace = tmp_path / "trace"
    latencies_ns = [(count + 500 - n) * 20_000 for n in range(count)]
    trace.write_text("# ns\n" + "\n".join(map(str, latencies_ns)) + "\n")
    started = backend(serve=serve, latency=f"trace:{trace}", storage="null")
    with Frontend(
        started.settings.socket_path, setup=False, size=1024, memory=Memory(1 << 23)
    ) as frontend:
        queue = frontend.queues[0]
        queue.indirect = True  # one descriptor of the ring each
        frontend.negotiate(indirect=True)
        frontend.share_memory()
        frontend.start_queue(0)
        heads = []
        for _ in range(count):
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            heads.append(queue.add(request.chain()))
            queue.offer(heads[-1])
        queue.publish()
        queue.kick()
        assert [head for head, _ in queue.wait(count)] == heads[::-1]


def test_requests_of_one_latency_keep_their_order(backend: StartBuiltin) -> None:
    with Frontend(backend(latency="3ms").settings.socket_path, indirect=True) as frontend:
        queue = frontend.queues[0]
        heads = []
        for _ in range(64):
            request = BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512)
            heads.append(queue.add(request.chain()))
            queue.offer(heads[-1])
        queue.publish()
        queue.kick()
        assert [head for head, _ in queue.wait(64)] == heads


def test_a_trace_is_read_over_and_over(backend: StartBuiltin, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("1\n2us\n3\n")
    with Frontend(backend(latency=f"trace:{trace}").settings.socket_path) as frontend:
        for _ in range(10):
            assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK


@pytest.mark.parametrize(
    "words", ["fast", "-1us", "1us,2us", "1us/1s", "1us,2us/0", "trace:", "trace:/nowhere", "1h"]
)
def test_words_that_mean_nothing_are_refused(backend: StartBuiltin, words: str) -> None:
    with pytest.raises(PyfioVirtioError):
        backend(latency=words)


@pytest.mark.parametrize("contents", ["", "# nothing\n", "1\nx\n"])
def test_a_bad_trace_is_refused(backend: StartBuiltin, tmp_path: Path, contents: str) -> None:
    trace = tmp_path / "trace"
    trace.write_text(contents)
    with pytest.raises(PyfioVirtioError, match=r"trace|number"):
        backend(latency=f"trace:{trace}")


def test_latency_can_change_while_requests_wait(backend: StartBuiltin) -> None:
    started = backend(latency="10s")
    with Frontend(started.settings.socket_path) as frontend:
        queue = frontend.queues[0]
        late = queue.add(BlkRequest(frontend.memory, BLK_READ, 0, in_bytes=512).chain())
        queue.offer(late)
        queue.publish()
        queue.kick()
        while started.statistics()["reads"] != 1:
            pass
        started.command("latency none")
        assert blk(frontend, BLK_READ, 0, in_bytes=512).status == BLK_OK
