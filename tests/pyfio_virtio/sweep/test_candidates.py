# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/candidates.py: how back-ends, builds and programs are named and told apart."""

import re
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyfio_virtio.backends import builtin as program
from pyfio_virtio.backends import option_keys
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.candidates import (
    Candidate,
    backends,
    located,
    located_path,
    located_program,
    paths,
)


def named(texts: Sequence[str], *options: str) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    found = backends(texts, options)
    assert len({each.name for each in found}) == len(found)
    return {each.name: (each.kind, each.socket, each.options) for each in found}


def test_a_single_back_end_needs_no_name() -> None:
    assert backends(["builtin"], ()) == (Candidate("", "builtin"),)
    assert backends(["/run/a.sock"], ()) == (Candidate("", socket="/run/a.sock"),)


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["a=builtin", "b=builtin"], ["a", "b"]),
        (["builtin", "qsd"], ["builtin", "qsd"]),
        (["qsd,aio=threads", "qsd,aio=io_uring"], ["qsd,aio=threads", "qsd,aio=io_uring"]),
        (["/run/a.sock", "/run/b.sock"], ["a", "b"]),
        (["/run/x/vhost.sock", "/run/y/vhost.sock"], ["/run/x/vhost.sock", "/run/y/vhost.sock"]),
        (["new=/run/a.sock", "qsd"], ["new", "qsd"]),
    ],
)
def test_several_have_a_name_each(texts: list[str], names: list[str]) -> None:
    assert list(named(texts)) == names


def test_a_path_may_have_the_sign_of_a_name() -> None:
    assert backends(["/run/a=b.sock"], ()) == (Candidate("", socket="/run/a=b.sock"),)


def test_a_socket_in_this_folder_needs_no_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as served:
        served.bind("disk.sock")
        assert backends(["disk.sock"], ()) == (Candidate("", socket="disk.sock"),)


def test_options_follow_a_kind_and_their_values_may_have_commas() -> None:
    [found] = backends(
        ["x=builtin,latency=10us,100us/1s,serve=poll,fault=lose:type=read,every=3"], ()
    )
    options = ("latency=10us,100us/1s", "serve=poll", "fault=lose:type=read,every=3")
    assert found == Candidate("x", "builtin", options=options)


def test_values_of_an_option_are_back_ends_of_their_own() -> None:
    found = named(["qsd"], "aio=threads,io_uring", "cache.direct=on")
    assert list(found) == ["aio=threads", "aio=io_uring"]
    assert found["aio=threads"][2] == ("aio=threads", "cache.direct=on")


def test_options_go_to_the_kinds_that_have_them() -> None:
    found = named(["builtin", "qsd"], "cache.direct=on,off", "threads=2")
    assert list(found) == ["builtin", "qsd cache.direct=on", "qsd cache.direct=off"]
    assert found["builtin"][2] == ("threads=2",)


def test_a_back_end_keeps_what_it_sets_itself() -> None:
    found = named(["a=qsd,aio=io_uring", "b=qsd"], "aio=threads")
    assert (found["a"][2], found["b"][2]) == (("aio=io_uring",), ("aio=threads",))


def test_faults_come_together_and_latencies_one_by_one() -> None:
    found = named(["builtin"], "fault=slow", "fault=lose", "latency=1us,2us/1s", "latency=3us")
    assert list(found) == ["latency=1us,2us/1s", "latency=3us"]
    assert found["latency=3us"][2] == ("fault=slow", "fault=lose", "latency=3us")


@pytest.mark.parametrize(
    ("texts", "options", "sentence"),
    [
        (["qds"], (), r"unknown back-end 'qds'; did you mean qsd\? use builtin, qsd or the path"),
        (["disk.sock"], (), r"unknown back-end 'disk.sock'; use.*such as \./disk\.sock"),
        (["builtin,qsd"], (), "builtin,qsd is no back-end; .*--backend builtin --backend qsd"),
        (["/a.sock,/b.sock"], (), "write --backend /a.sock --backend /b.sock"),
        (["builtin", "builtin"], (), "--backend has builtin 2 times.*--backend a="),
        (["a=builtin", "a=qsd"], (), "--backend has a 2 times"),
        (["qsd"], ("aoi=threads",), r"qsd has no option aoi; did you mean aio\?"),
        (["builtin"], ("poll-grow=1",), "builtin has no option poll-grow; it has .*latency"),
        (["/run/a.sock"], ("threads=2",), "cannot pass threads=2.*does not start it"),
    ],
)
def test_mistakes_are_named(texts: list[str], options: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        backends(texts, options)


def test_programs_are_named_as_back_ends_are() -> None:
    assert paths(["/opt/fio"], "--fio") == {"": "/opt/fio"}
    assert paths(["old=fio", "new=/opt/fio"], "--fio") == {"old": "fio", "new": "/opt/fio"}
    with pytest.raises(UsageError, match="--fio has fio 2 times"):
        paths(["fio", "fio"], "--fio")


def test_the_keys_of_the_built_in_back_end_are_those_that_it_has() -> None:
    flags = {option for each in program._parser()._actions for option in each.option_strings}
    ours = {"socket", "socket-fd", "storage", "size", "block-size", "queues", "read-only"}
    ours |= {"die-with-parent", "help"}
    assert {flag.removeprefix("--") for flag in flags} - ours - {"-h"} == set(
        option_keys.KEYS["builtin"]
    )


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (["a=/run/x.sock,aio=threads"], "cannot pass aio=threads to /run/x.sock: a socket takes"),
        (["/run/x.sock,serve=poll,targets=2"], "cannot pass serve=poll,targets=2 to /run/x.sock"),
        (["qsd,aio=threads,io_uring"], "write --backend-option aio=threads,io_uring"),
        (["q=qsd,cache.direct=on,off", "builtin"], "write --backend-option cache.direct=on,off"),
        (["builtin,serve=poll,event"], "write --backend-option serve=poll,event"),
    ],
)
def test_a_comma_in_the_wrong_place_is_answered_with_what_to_write(
    texts: list[str], parts: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(parts)):
        backends(texts, ())


def test_a_socket_is_recorded_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert located("./x.sock") == f"{tmp_path}/x.sock"
    assert located("a=./x.sock") == f"a={tmp_path}/x.sock"
    assert located("/run/a=b.sock") == "/run/a=b.sock"
    assert located("q=qsd,aio=threads") == "q=qsd,aio=threads"
    assert located_path("old=builds/old") == f"old={tmp_path}/builds/old"
    assert located_program("new=./fio") == f"new={tmp_path}/fio"
    assert located_program("fio") == "fio"
