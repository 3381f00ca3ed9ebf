# SPDX-License-Identifier: GPL-2.0-or-later
"""sweep/settings.py: flags and files say the same things, and nonsense is refused in words."""

from pathlib import Path

import pytest

from pyfio_virtio.errors import UsageError
from pyfio_virtio.sweep.settings import (
    Settings,
    merge,
    option_name,
    read_settings,
    share,
    steps,
    to_toml,
    words,
)

ODD = Settings(
    title='a "question"\nof ünits',
    options={"sleepy_poll": ("0", "100"), "rw": ("randread",)},
    engines=("virtio", "io_uring"),
    cpus=("separate", "0:1"),
    target_ci=0.02,
    rate_steps=(10, 100),
    seed=7,
    one_at_a_time=True,
    backend_option=("latency=20us",),
    read_only=True,
)


@pytest.mark.parametrize("settings", [Settings(), ODD])
def test_settings_survive_their_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(to_toml(settings, {}))
    assert read_settings(file) == (settings, {})


@pytest.mark.parametrize(
    "character", ["\x00", "\x1f", "\t", "\r", "\x7f", "\x85", "\\", "\u2028", "😀"]
)
def test_any_character_of_a_title_survives_its_file(character: str, tmp_path: Path) -> None:
    settings, file = Settings(title=f"a{character}b"), tmp_path / "sweep.toml"
    file.write_text(to_toml(settings, {}))
    assert read_settings(file)[0] == settings


@pytest.mark.parametrize(
    "settings",
    [
        Settings(title="caf\udce9"),
        Settings(storage="file:/tmp/\udce9"),
        Settings(backend_option=("latency=\udce9",)),
    ],
)
def test_what_no_file_can_hold_is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"udce9.*not UTF-8"):
        settings.check()


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_bytes(b"\xef\xbb\xbfrepeats = 3\r\n")
    assert read_settings(tmp_path / "sweep.toml")[0] == Settings(repeats=3)


def test_what_was_found_is_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    found: dict[str, dict[str, str | float]] = {
        "versions": {"fio": "fio-3.33"},
        "maximum": {"0a1b": 1000.5},
    }
    file.write_text(to_toml(ODD, found))
    assert read_settings(file) == (ODD, found)


def test_a_file_may_be_written_as_people_would(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(
        'repeats = 3\nruntime = "2s"\ntarget_ci = "2%"\nrate_steps = "50,60..100%"\n'
        'cpus = "separate"\n[options]\nsleepy-poll = [0, 20]\nreadwrite = "read,write"\n'
        "norandommap = true\n"
    )
    settings, _ = read_settings(file)
    assert (settings.repeats, settings.runtime, settings.target_ci) == (3, 2.0, 0.02)
    assert settings.rate_steps == (50, 60, 70, 80, 90, 100)
    assert settings.cpus == ("separate",)
    assert settings.options == {
        "sleepy_poll": ("0", "20"),
        "rw": ("read", "write"),
        "norandommap": ("1",),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("repeat = 3", "unknown key repeat"),
        ('repeats = "many"', "repeats = 'many' has the wrong type"),
        ("repeats = true", "the wrong type"),
        ("title = [1]", "the wrong type"),
        ("options = 3", "options is not a table"),
        ("repeats = ", "is not a TOML file"),
        (f"repeats = {'[' * 100_000}", "nested too deeply"),
        (f"repeats = {'9' * 5000}", "thousands of digits"),
        ("# " + "x" * (5 << 20), "more than 4 MiB"),
        ('rate_steps = "half"', "'half' is not a rate step"),
        ('target_ci = "much"', "unusable target_ci much: it is not a share"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_settings(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: No such file"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(order="backwards"), "unknown order 'backwards'"),
        (Settings(repeats=0), "unusable repeats 0"),
        (Settings(repeats=31, target_ci=0.02), "max_repeats 30"),
        (Settings(runtime=0), "unusable runtime"),
        (Settings(target_ci=2.0), "unusable target_ci"),
        (Settings(rate_steps=(0,)), "unusable rate step 0%"),
        (Settings(backend=("qsd",), serve=("poll",)), "qsd has no --serve"),
        (Settings(poll_max_ns=0), "cannot set --poll-max-ns of builtin: only qsd has it"),
        (
            Settings(backend=("/x.sock",), read_only=True),
            "cannot use --read-only here: this command does not start /x.sock",
        ),
        (Settings(options={"runtime": ("3",)}), "use --runtime"),
        (Settings(options={"thread": ("0",)}), "cannot set fio's option thread"),
        (Settings(options={"no such": ("0",)}), "is not an option of fio"),
        (Settings(disk_size="much"), "'much' is not a size"),
    ],
)
def test_what_no_sweep_can_be_is_refused(settings: Settings, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        settings.check()


def test_the_way_of_waiting_is_replaced_as_one_axis() -> None:
    base = Settings(options={"sleepy_poll": ("0",), "wait": ("busy",), "bs": ("4k",)})
    merged = merge(base, {"options": {"wait": ("adaptive",)}, "repeats": 3})
    assert merged.options == {"bs": ("4k",), "wait": ("adaptive",)}
    assert merged.repeats == 3


def test_other_axes_are_replaced_one_by_one() -> None:
    base = Settings(options={"bs": ("4k",), "iodepth": ("1",)})
    assert merge(base, {"options": {"bs": ("8k",)}}).options == {"bs": ("8k",), "iodepth": ("1",)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50", (50,)),
        ("10,20..50%", (10, 20, 30, 40, 50)),
        ("25..100", (25, 50, 75, 100)),
        ("10,10", (10,)),
    ],
)
def test_rate_steps_go_on_as_they_began(text: str, expected: tuple[int, ...]) -> None:
    assert steps(text) == expected


def test_values_are_read_as_people_write_them() -> None:
    assert words("a, b,") == ("a", "b")
    assert words(r"4k\,8k,16k\,32k") == ("4k,8k", "16k,32k")
    assert words(["4k,8k", "16k"]) == ("4k,8k", "16k")
    assert words([1, True]) == ("1", "1")
    assert share("5%") == share(0.05) == 0.05
    assert option_name("event-idx") == "event_idx"
