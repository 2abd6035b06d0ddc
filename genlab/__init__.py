"""GenLab: a lab for teaching generative models, live and side by side."""

import os

# Nothing leaves the room (docs/decisions/0015-nothing-leaves-the-room.md). Set here because app,
# command line, tests and benchmarks all come through here before they import what would report
# home, and ONNX Runtime, Ray and huggingface_hub look only while they are imported.
os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray ends the process a minute after its cluster's head has died; GenLab joins it again instead
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    # Gradio makes statistics of its last 10,000 events after each event; GenLab has its own
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}

__version__ = "0.1.0"

NOTEBOOK = ("Lab", "Pictures", "connect")


def __getattr__(name: str) -> object:
    """``from genlab import connect``: loaded when it is first asked for, as most never do."""
    if name in NOTEBOOK:
        return getattr(__import__("genlab.notebook", fromlist=NOTEBOOK), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
