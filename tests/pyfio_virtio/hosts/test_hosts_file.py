# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts.toml: what a file means, and that each mistake is one sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import UsageError
from pyfio_virtio.hosts import hosts_file

USUAL = BackendSpec(queues=3)


def test_a_host_without_settings_has_the_usual_disk() -> None:
    (host,) = hosts_file.parse('[[host]]\naddress = "10.0.0.1"')
    assert host.disk(USUAL) == USUAL


def test_a_default_applies_to_each_host_that_does_not_replace_it() -> None:
    text = """
    backend = "builtin,serve=poll"
    disk-size = "2G"
    [[host]]
    address = "a"
    [[host]]
    address = "b"
    disk-size = "64M"
    storage = "null"
    cpus = "0:1"
    """
    one, other = hosts_file.parse(text)
    served = replace(USUAL, options=("serve=poll",))
    assert one.disk(USUAL) == replace(served, size_bytes=2 << 30)
    assert other.disk(USUAL) == replace(served, size_bytes=64 << 20, storage="null", cpus="1")
    assert other.fio_cpus == "0"


def test_the_socket_of_a_host_replaces_the_back_end_of_all() -> None:
    text = 'backend = "builtin"\n[[host]]\naddress = "a"\nsocket = "/srv/vhost.0"'
    (host,) = hosts_file.parse(text)
    assert host.disk(USUAL) == "/srv/vhost.0"


def test_cpus_that_this_machine_lacks_may_be_there() -> None:
    (host,) = hosts_file.parse('[[host]]\naddress = "a"\ncpus = "8000:9000"')
    assert host.disk(USUAL) == replace(USUAL, cpus="9000")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no hosts"),
        ("host = 3", "host is not a list of tables"),
        ("[[host]", "is not a TOML file"),
        ('[[host]]\nname = "a"', "host 1 (a) has no address"),
        ('[[host]]\nadress = "a"', "did you mean address?"),
        ('disk-sise = "1G"\n[[host]]\naddress = "a"', "outside of [[host]], unknown key disk-sise"),
        ('name = "x"\n[[host]]\naddress = "a"', "outside of [[host]], unknown key name"),
        ('[[host]]\naddress = "a"\n[[host]]\naddress = "a"', "2 hosts with the name a"),
        ('[[host]]\naddress = "::1"', "is not an address"),
        ('[[host]]\naddress = "a:0"', "ports are 1 to 65535"),
        ('[[host]]\naddress = "a:99999"', "ports are 1 to 65535"),
        ('[[host]]\naddress = "/run/x"', "did you mean unix:/run/x?"),
        ('[[host]]\naddress = "unix:x"', "begins with /"),
        ("[[host]]\naddress = 5", "it is not a text"),
        ('[[host]]\naddress = "a b"', "is not an address"),
        ('[[host]]\naddress = "unix:/x/+.sock"', "needs a name"),
        ('[[host]]\nname = "../a"\naddress = "a"', "it is not a name"),
        ('[[host]]\naddress = "a"\nssh = "-oProxyCommand=x"', "not a target for ssh"),
        ('[[host]]\naddress = "a"\nbackend = "bultin"', "did you mean builtin?"),
        ('[[host]]\naddress = "a"\nbackend = "builtin,srve=poll"', "did you mean serve?"),
        ('[[host]]\naddress = "a"\nbackend = "qsd"\nsocket = "/x"', "leave one of them out"),
        ('[[host]]\naddress = "a"\nsocket = "x"', "begins with /"),
        ('[[host]]\naddress = "a"\ncpus = "0"', "write FIO:BACKEND"),
        ('[[host]]\naddress = "a"\ndisk-size = "big"', "is not a size"),
        ("x = " + "[" * 5000, "cannot read"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        hosts_file.parse(text, "hosts.toml")
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(("hosts.toml", "cannot read hosts.toml"))


def test_a_storage_that_no_back_end_has_is_refused() -> None:
    (host,) = hosts_file.parse('[[host]]\naddress = "a"\nstorage = "disk"')
    with pytest.raises(UsageError, match="unknown storage 'disk'"):
        host.disk(USUAL)


def test_a_scratch_file_is_made_by_the_host() -> None:
    (host,) = hosts_file.parse('[[host]]\naddress = "a"\nstorage = "file"')
    assert host.disk(USUAL) == replace(USUAL, storage="file")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        hosts_file.read(tmp_path / "hosts.toml")
