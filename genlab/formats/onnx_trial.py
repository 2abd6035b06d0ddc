"""Tries an ONNX graph that nobody trusts yet, as a process of its own: ``python -m`` this file.

Reads one JSON object from stdin, see ``onnx_files.trial``, and prints one.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

MEMORY = 4_000_000_000  # bytes that it may take, libraries included
SECONDS = 50  # of processor time
SAME = 0.01  # of the range, by which a row may differ beside others
ROWS = 64  # as many as the engine puts into one call


class Unfit(Exception):
    """What keeps a graph that runs from being drawn with, as half a sentence."""


def main() -> None:
    """Run the graph on random rows and say what came of it, or why nothing did."""
    order = json.loads(sys.stdin.read())
    _bound()
    try:
        answer = run(order)
    except Unfit as error:
        answer = {"unfit": str(error)}
    except Exception as error:
        answer = {"trouble": " ".join(str(error).split())[:200]}
    print(json.dumps(answer))


def run(order: dict[str, Any]) -> dict[str, Any]:
    """What the graph draws, in figures."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        order["path"], options, providers=["CPUExecutionProvider"]
    )
    rows = order["rows"] or ROWS
    random = np.random.default_rng(0)
    feed: dict[str, Any] = {
        order["z"]: random.standard_normal((rows, *order["z_shape"])).astype(np.float32)
    }
    if order["labels"]:
        feed[order["labels"]] = np.arange(rows, dtype=np.int64) % max(order["classes"], 1)
    begun = time.perf_counter()
    drawn = np.asarray(session.run(None, feed)[0], dtype=np.float64)
    seconds = (time.perf_counter() - begun) / rows
    if drawn.ndim < 2 or len(drawn) != rows:
        raise Unfit(f"for {rows} rows of z it gives {list(drawn.shape)}.")
    if not order["rows"]:
        _check_rows(session, feed, drawn)
    low, high = np.quantile(drawn, (0.01, 0.99))
    edge, middle = _frame(drawn.reshape(rows, -1))
    return {
        "shape": list(drawn.shape[1:]), "low": low, "high": high, "spread": float(drawn.std()),
        "finite": bool(np.isfinite(drawn).all()), "edge": edge, "middle": middle,
        "seconds": seconds,
    }  # fmt: skip


def _check_rows(session: Any, feed: dict[str, Any], drawn: Any) -> None:
    """Raise Unfit unless each row becomes the same picture in whatever company."""
    import numpy as np

    for rows in (1, 3):
        few = np.asarray(session.run(None, {name: own[:rows] for name, own in feed.items()})[0])
        if few.shape != (rows, *drawn.shape[1:]):
            raise Unfit(f"for {rows} rows of z it gives {list(few.shape)}.")
        apart = float(np.abs(few - drawn[:rows]).max())
        if apart > SAME * max(1.0, float(np.ptp(drawn))):
            raise Unfit(
                "a row of z becomes another picture when it is drawn with others; is it in "
                "training mode, or has it a batch norm without running statistics?"
            )


def _frame(flat: Any) -> tuple[float, float]:
    """Means of the frame, two pixels wide, and of the rest; of grey pictures only."""
    import numpy as np

    side = round(flat.shape[1] ** 0.5)
    if side * side != flat.shape[1] or side < 8:
        return 0.0, 0.0
    frame = np.ones((side, side), bool)
    frame[2:-2, 2:-2] = False
    pictures = flat.reshape(-1, side, side)
    return float(pictures[:, frame].mean()), float(pictures[:, ~frame].mean())


def _bound() -> None:
    """Let the system end this process when it takes too much."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock alone
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


if __name__ == "__main__":
    main()
