"""The table of figures and the smoke run: what scripts tell them, and how it is judged."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import pytest

from benchmarks import smoke
from benchmarks.claims import Claim, ScriptFailedError, claims_of
from benchmarks.recordings import one_second_tones
from benchmarks.smoke import OFF_BY, Figure
from benchmarks.table import Row, Script, lines_of, table

ROOT = Path(__file__).parents[2]
SLOWER = Claim("beside git", 1.5, 1.3, "details")
FEWER = Claim("a second", 120.0, 100, at_least=True, unit="/s")
SCRIPT = Script("one.py", (), (Row("walk", "beside git", "1.8 x"), Row("send", "a second", "40")))


def script(folder: Path, end: str) -> str:
    path = folder / "script.py"
    path.write_text(f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.claims import Claim, print_claims
print_claims("Title", [{SLOWER!r}, {FEWER!r}], "a note")
{end}
""")
    return str(path)


def test_a_script_tells_who_started_it_what_it_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert claims_of(script(tmp_path, ""), timeout_s=60.0) == [SLOWER, FEWER]
    printed = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "beside git 1.50 x <= 1.3 x NOT MET details" in printed
    assert "a second 120.00 /s >= 100 /s met" in printed


def test_a_script_that_failed_has_claimed_nothing(tmp_path: Path) -> None:
    with pytest.raises(ScriptFailedError, match="exit status 3"):
        claims_of(script(tmp_path, "sys.exit(3)"), timeout_s=60.0)


def test_the_table_names_the_row_that_has_no_figure() -> None:
    heading, walk, send = table(lines_of(SCRIPT, [SLOWER]))
    assert heading.split() == ["work", "was", "goal", "reached", "verdict"]
    assert walk.split() == ["walk", "1.8", "x", "<=", "1.3", "x", "1.50", "x", "NOT", "MET"]
    assert send.endswith('FAILED: one.py claims no "a second"')


@pytest.mark.parametrize(
    ("expected", "is_off"),
    [
        (SLOWER.figure, False),
        (SLOWER.figure / OFF_BY * 1.01, False),
        (SLOWER.figure / OFF_BY * 0.99, True),
        (SLOWER.figure * 10, False),
    ],
)
def test_a_ratio_may_be_better_or_worse_by_less_than_half(expected: float, is_off: bool) -> None:
    assert Figure(SLOWER.name, expected, SLOWER).is_off is is_off


def test_what_should_be_high_is_off_when_it_is_low() -> None:
    assert not Figure(FEWER.name, FEWER.figure / 10, FEWER).is_off
    low = Figure(FEWER.name, FEWER.figure * 2, FEWER)
    assert low.is_off
    assert str(low) == "OFF  a second: 120.00 /s, expected 240"


def test_a_figure_that_is_not_there_is_off() -> None:
    expected = smoke.Script("one.py", [], {"beside git": 1.5, "a second": 100})
    there, missing = smoke.figures_of(expected, [SLOWER])
    assert not there.is_off
    assert missing.is_off
    assert str(missing) == "OFF  a second: one.py has no such claim, expected 100"


def test_the_smoke_run_knows_its_scripts() -> None:
    for each in smoke.scripts():
        assert (ROOT / "benchmarks" / each.file).is_file()
        assert each.figures


def test_tones_last_a_second_and_differ(tmp_path: Path) -> None:
    one_second_tones(tmp_path, 501)
    paths = sorted(tmp_path.rglob("*.wav"))
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in paths}) == 501
    with wave.open(str(paths[-1])) as file:
        assert file.getnframes() == file.getframerate()
