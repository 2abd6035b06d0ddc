"""The benchmarks; they too report nothing home, whatever one of them imports first."""

import genlab  # noqa: F401
