"""The README's table of figures, written anew: `python -m tests.bench | python -m tests.bench.readme`."""

import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

from tests.bench.processes import ROOT

BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->\n"
HEAD = "| | measured | beside it, in the same run | ratio | CPU a piece |\n|---|---|---|---|---|\n"


def table(figures: Sequence[dict[str, Any]], day: date) -> str:
    """The table as Markdown, and on what machine it was measured."""
    cores, others = figures[0]["cores"], max(figure["others_cores"] for figure in figures)
    machine = (
        f"Measured on {day.isoformat()} on a machine of {cores} shared cores, with the broker on it too; others kept up"
        f"\nto {others:.1f} of its cores busy when a benchmark began.\n"
    )
    return HEAD + "".join(map(_row, figures)) + "\n" + machine


def written(text: str, new: str) -> str:
    """The README with the new table between its marks; ValueError where it has none."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the README has no {BEGIN.strip()} ... {END.strip()}")
    return before + BEGIN + new + END + after


def _row(figure: dict[str, Any]) -> str:
    cpu = f"{figure['cpu_s'] / figure['n'] * 1e6:,.0f} us"
    if figure["baseline"] is None:
        measured = f"p50 {figure['p50']:.0f} ms, p95 {figure['p95']:.0f} ms, p99 {figure['p99']:.0f} ms"
        return f"| {figure['name']} | {measured} at {figure['hits_a_second']} hits/s | | | {cpu} |\n"
    measured = f"{figure['value']:,.0f} {figure['unit']}"
    if "p99" in figure:
        measured += f", p50 {figure['p50']:.0f} ms, p99 {figure['p99']:.0f} ms"
    beside = f"{figure['baseline_name']}: {figure['baseline']:,.0f}"
    return f"| {figure['name']} | {measured} | {beside} | {figure['ratio']:.2f} | {cpu} |\n"


def main() -> None:
    """Figures from stdin, each told on as it comes; with all four of them the README is written."""
    figures = []
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()
        figures.append(json.loads(line))
    if len(figures) != 4:
        raise SystemExit(f"bench: the README keeps its figures: there are {len(figures)} of 4")
    readme = ROOT / "README.md"
    readme.write_text(written(readme.read_text(), table(figures, date.today())))  # noqa: DTZ011 (the day here)


if __name__ == "__main__":
    main()
