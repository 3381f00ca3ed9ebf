# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/guard.c: an engine refuses the installed fio if their structures differ.

The engine is fio_probe.c, which has the guard alone. Its headers are those of the installed fio,
changed as a patch might change them; the release stays what it was.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import fio_headers
import fio_known_options
import pytest

from tests.conftest import Finished, run_to_end
from tests.engine import fio_trees
from tests.engine.fio_trees import ENGINE, insert_before, linked, rewrite, used_members

PROBE = Path(__file__).with_name("fio_probe.c")
# No witness tells where they lie: one is a number in stats_file, one multiplies offset_increment=.
UNSEEN = {("thread_data", "thread_number"), ("thread_data", "subjob_number")}


@dataclass(frozen=True)
class Probe:
    """A tree of headers, and the engine that is built from it."""

    tree: Path
    folder: Path

    def compile(self, source: Path, target: Path, *flags: str) -> None:
        release = fio_headers.installed_release()
        command = [
            *("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-w", "-fPIC", *flags),
            *("-isystem", str(self.tree), "-include", str(self.tree / "config-host.h")),
            *("-iquote", str(ENGINE), "-iquote", str(self.folder)),
            f'-DENGINE_FIO_RELEASE="{release}"',
            '-DENGINE_FIO_SOURCES="the sources of the test"',
            *(str(source), "-o", str(target)),
        ]
        subprocess.run(command, check=True)

    def run(self, *prefix: str) -> Finished:
        """fio loads the probe, and says what options it has: none."""
        table = self.folder / "fio_known_options.h"
        table.write_text(fio_known_options.header(self.tree))
        self.compile(PROBE, self.folder / "probe", "-shared")
        environment = {"LD_LIBRARY_PATH": str(self.folder)}
        return run_to_end([*prefix, "fio", "--enghelp=probe"], environment, folder=self.folder)

    def offset(self, structure: str, member: str) -> int:
        source = self.folder / "offset.c"
        source.write_text(
            f'#include "fio/compat.h"\nint main(void) {{ printf("%zu",'
            f" offsetof(struct {structure}, {member})); }}\n"
        )
        self.compile(source, self.folder / "offset")
        return int(subprocess.check_output([self.folder / "offset"]))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    folder = tmp_path_factory.mktemp("pristine")
    return Probe(fio_trees.copy_of_installed(folder / "tree"), folder)


@pytest.fixture
def probe(pristine: Probe, tmp_path: Path) -> Probe:
    return Probe(linked(pristine.tree, tmp_path / "tree"), tmp_path)


def admitted(run: Finished) -> bool:
    return run.stderr == "" and "probe has no options" in run.stdout


def difference(run: Finished) -> str:
    """The first difference, from the one sentence of the refusal."""
    assert run.status == 1, run
    [sentence] = [line for line in run.stderr.splitlines() if line.startswith("fio_virtio: ")]
    found = re.fullmatch(
        r"fio_virtio: this engine was built from the sources of the test, but the fio-[\d.]+ that "
        r"loads it has other structures \(first difference: (.*)\); rebuild the engine with .*",
        sentence,
    )
    assert found, sentence
    return found[1]


def test_the_fio_of_the_headers_is_admitted(probe: Probe) -> None:
    assert admitted(probe.run())


def test_a_parent_that_ignores_its_children_changes_nothing(probe: Probe) -> None:
    assert admitted(probe.run("sh", "-c", 'trap "" CHLD; exec "$@"', "sh"))


@pytest.mark.parametrize(("structure", "member"), used_members())
def test_a_member_that_lies_eight_bytes_off_is_refused(
    structure: str, member: str, probe: Probe
) -> None:
    insert_before(probe.tree, structure, member, "unsigned long long inserted")
    assert difference(probe.run())


@pytest.mark.parametrize(
    ("structure", "member"), [each for each in used_members() if each not in UNSEEN]
)
def test_a_member_that_lies_four_bytes_off_is_refused(
    structure: str, member: str, probe: Probe, pristine: Probe
) -> None:
    insert_before(probe.tree, structure, member, "int inserted")
    run = probe.run()
    if not admitted(run):
        assert difference(run)
        return
    # Padding may swallow four bytes, so that nothing that we use has moved.
    assert probe.offset(structure, member) == pristine.offset(structure, member)


@pytest.mark.parametrize(
    ("structure", "member"), [each for each in used_members() if each[0] != "thread_options"]
)
def test_the_documentation_says_whether_a_member_is_compared(structure: str, member: str) -> None:
    text = (ENGINE.parent / "ARCHITECTURE.md").read_text()
    [row] = re.findall(rf"^\| `{structure}` \|.*$", text, re.MULTILINE)
    assert f"`{member}`" in row


def test_a_longer_struct_of_options_is_refused(probe: Probe) -> None:
    path = probe.tree / "thread_options.h"
    text = re.sub(
        r"(^struct thread_options \{.*?)^\};",
        r"\1\tlong last;\n};",
        path.read_text(),
        count=1,
        flags=re.M | re.S,
    )
    rewrite(path, text)
    assert difference(probe.run())


def test_another_struct_of_an_option_is_refused(probe: Probe) -> None:
    insert_before(probe.tree, "fio_option", "def", "const char *inserted")
    assert re.fullmatch(r"its table of options has \d+ bytes and not \d+", difference(probe.run()))


def test_a_moved_option_is_named_with_both_places(probe: Probe) -> None:
    insert_before(probe.tree, "thread_options", "verify_backlog", "unsigned long long inserted")
    assert re.fullmatch(
        r"the option \w+ lies at byte \d+ and not \d+ of struct thread_options",
        difference(probe.run()),
    )


def test_another_number_of_a_state_is_refused(probe: Probe) -> None:
    path = probe.tree / "fio.h"
    rewrite(path, path.read_text().replace("\tTD_FSYNCING,", "\tTD_INSERTED,\n\tTD_FSYNCING,"))
    assert difference(probe.run()) == "TD_FSYNCING has another value"


def test_another_number_of_a_direction_is_refused(probe: Probe) -> None:
    path = probe.tree / "io_ddir.h"
    rewrite(path, path.read_text().replace("\tDDIR_TRIM = 2,", "\tDDIR_TRIM = 0,"))
    assert difference(probe.run())


def test_an_option_that_the_sources_lack_is_named(probe: Probe) -> None:
    fio_trees.remove_option(probe.tree, "verify_backlog")
    assert difference(probe.run()) == "the option verify_backlog is not in those sources"


def with_option(text: str, entry: str) -> str:
    begin = "struct fio_option fio_options[FIO_MAX_OPTS] = {\n"
    return text.replace(begin, begin + entry)


ONE_MORE = (
    '\t{\n\t\t.name = "one_more",\n\t\t.off1 = offsetof(struct thread_options, name),\n\t},\n'
)


def test_an_option_that_fio_lacks_is_named(probe: Probe) -> None:
    path = probe.tree / "options.c"
    rewrite(path, with_option(path.read_text(), ONE_MORE))
    assert difference(probe.run()) == "it has no option one_more"


def test_an_option_that_fio_was_configured_without_is_no_difference(probe: Probe) -> None:
    path = probe.tree / "options.c"
    rewrite(path, with_option(path.read_text(), f"#ifdef CONFIG_ONE_MORE\n{ONE_MORE}#endif\n"))
    assert admitted(probe.run())


def test_a_tree_that_is_configured_otherwise_is_no_difference(probe: Probe) -> None:
    path = probe.tree / "config-host.h"
    fewer = "#undef CONFIG_ZLIB\n#undef CONFIG_POSIXAIO\n"
    rewrite(path, path.read_text() + fewer)
    assert admitted(probe.run())


def test_the_comparison_leaves_nothing(probe: Probe) -> None:
    insert_before(probe.tree, "thread_data", "io_ops_data", "unsigned long long inserted")
    run = probe.run("sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh")
    assert difference(run)
    assert list(probe.folder.glob("core*")) == []
