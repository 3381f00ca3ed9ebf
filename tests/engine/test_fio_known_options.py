# SPDX-License-Identifier: GPL-2.0-or-later
"""fio_known_options.py: the options and offsets that options.c names."""

from pathlib import Path

import fio_known_options
import pytest
from fio_known_options import Option, OptionTableError

HEAD = "struct fio_option fio_options[FIO_MAX_OPTS] = {\n"
SIMPLE = '\t{\n\t\t.name\t= "size",\n\t\t.off1\t= offsetof(struct thread_options, size),\n\t},\n'
END = "\t{\n\t\t.name\t= NULL,\n\t},\n};\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path


def read(tree: Path, entries: str) -> list[Option]:
    (tree / "options.c").write_text(f"{HEAD}{entries}{END}")
    return fio_known_options.read(tree)


def test_an_option_has_its_name_and_its_member(tree: Path) -> None:
    assert read(tree, SIMPLE) == [Option("size", True, {1: "size"})]


def test_an_option_may_have_several_members(tree: Path) -> None:
    entry = (
        '{ .name = "bs", .off1 = offsetof(struct thread_options, bs[DDIR_READ]),\n'
        ".off3 = offsetof(struct thread_options,\n\tbs[DDIR_TRIM]) },\n"
    )
    assert read(tree, entry) == [Option("bs", True, {1: "bs[DDIR_READ]", 3: "bs[DDIR_TRIM]"})]


def test_an_option_may_have_no_member(tree: Path) -> None:
    assert read(tree, SIMPLE + '\t{ .name = "profile" },\n')[1] == Option("profile", True, {})


def test_below_an_if_an_option_is_not_in_every_fio(tree: Path) -> None:
    options = read(tree, f'#ifdef CONFIG_A\n{SIMPLE}#else\n{{ .name = "size" }},\n#endif\n{SIMPLE}')
    assert [(each.always, bool(each.members)) for each in options] == [
        (False, True),
        (False, False),
        (True, True),
    ]


def test_a_comment_is_no_option(tree: Path) -> None:
    assert len(read(tree, f"/* {SIMPLE} */{SIMPLE}")) == 1


def test_the_compiler_gets_an_element_an_option(tree: Path) -> None:
    read(tree, SIMPLE)
    line = '{ "size", true, { [0] = offsetof(struct thread_options, size) } },'
    assert line in fio_known_options.header(tree).splitlines()


@pytest.mark.parametrize("text", ["", "int main;\n", HEAD + "};\n"])
def test_a_file_without_options_is_refused(text: str, tree: Path) -> None:
    (tree / "options.c").write_text(text)
    with pytest.raises(OptionTableError):
        fio_known_options.read(tree)


def test_an_offset_that_is_not_understood_is_refused(tree: Path) -> None:
    with pytest.raises(OptionTableError, match="in an unknown form"):
        read(tree, SIMPLE + '{ .name = "other", .off1 = SOMEWHERE(other) },\n')


def test_a_folder_without_the_file_is_refused(tree: Path) -> None:
    with pytest.raises(OptionTableError, match="no options\\.c"):
        fio_known_options.read(tree)
