"""The tests; they too report nothing home, whatever a test file imports first."""

import genlab  # noqa: F401
