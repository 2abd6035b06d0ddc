"""What breaks, breaks here on purpose: counts of what became of every job, and nothing lost.

``python -m benchmarks.faults`` runs all, or those that are named, and prints a table; ``--json``
prints what was counted. It ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from benchmarks import faults_engine, faults_server
from benchmarks.faults_house import House, Report, timed

IN_THE_ENGINE: tuple[Callable[[House], Report], ...] = (
    faults_engine.cancels,
    faults_engine.raises,
    faults_engine.out_of_memory,
    faults_engine.killed_workers,
)
ALONE: tuple[Callable[[], Report], ...] = (
    faults_engine.models_that_leave,
    faults_engine.weights_that_change,
    *faults_server.each_on_a_server(
        (
            faults_server.vanishing_clients,
            faults_server.a_full_disk,
            faults_server.a_folder_that_is_gone,
        )
    ),
    faults_server.a_read_only_checkout,
    faults_server.sigterm,
    faults_server.left_overs,
)


def every_fault() -> dict[str, Callable[[], Report]]:
    """All faults by name, each ready to run."""

    def in_house(fault: Callable[[House], Report], graphs: bool = True) -> Callable[[], Report]:
        def run() -> Report:
            with House(graphs=graphs) as house:
                return fault(house)

        return run

    faults = {fault.__name__: in_house(fault) for fault in IN_THE_ENGINE}
    # a graph of ONNX Runtime is not a module whose answer could be spoiled
    faults["not_a_number"] = in_house(faults_engine.not_a_number, graphs=False)
    return faults | {fault.__name__: fault for fault in ALONE}


def table(reports: Sequence[Report]) -> str:
    """The reports in Markdown."""
    lines = [
        "| fault | jobs or checks | as asked | a sentence | cancelled or left | lost | seconds | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in reports:
        lines.append(
            f"| {r.fault} | {r.jobs} | {r.results} | {r.failed} | {r.cancelled} | {r.lost} "
            f"| {r.seconds:.0f} | {r.found} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, break things, print what became of them."""
    faults = every_fault()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(faults))
    parser.add_argument("--json", action="store_true", help="counts and sentences as JSON")
    given = parser.parse_args()
    if unknown := set(given.faults) - set(faults):
        parser.error(f"there is no fault called {', '.join(sorted(unknown))}")
    reports = []
    for name in given.faults or faults:
        reports.append(timed(faults[name]))
        print(f"{name}: {reports[-1].lost} lost", file=sys.stderr, flush=True)
        for sentence, count in reports[-1].sentences.most_common(8):
            print(f"  {count} x {sentence}", file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        print(table(reports))
    sys.exit(any(report.lost for report in reports))


if __name__ == "__main__":
    main()
