"""The comparison as a page: a curve for each arm in each setting."""

from pathlib import Path

from benchmarks.search.run import main
from report.parsed import parsed
from search_benchmark.tiny_comparison import tiny

SHORT = ("--axis", "trials", "--parallel", "1", "--trials", "30", "--seeds", "2")


def test_every_arm_has_its_regret_curve(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert main([*SHORT, "--records", str(tmp_path / "records"), "--html", str(path)], tiny()) == 0
    page = parsed(path.read_text("utf-8"))
    assert page.sections == ["trials-30-q1", "targets"]
    (figure,) = page.figures.values()
    lines = [trace for trace in figure["data"] if trace["mode"] != "none"]
    assert len(lines) == 4
    assert all(list(line["x"]) == [8, 16, 25, 30] for line in lines)
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert "Targets" in page.text
