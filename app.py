"""GenLab's entry point: settings, catalogue, engine, page, launch. Also a Space's app_file."""

from __future__ import annotations

import os
import signal
import sys
import tempfile

from pydantic_settings import SettingsConfigDict

from genlab.engine import Engine, Runtime
from genlab.models.registry import Catalogue
from genlab.settings import Settings


class Flags(Settings):
    """The settings, each of them also a flag: GENLAB_MAX_ROWS is --max-rows."""

    model_config = SettingsConfigDict(
        cli_parse_args=True, cli_prog_name="app.py", cli_kebab_case=True, cli_implicit_flags=True
    )


def main() -> None:
    """Serve the page until Ctrl+C, or until the system asks to end."""
    settings = Flags()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl+C: leave nothing behind
    runtime = Runtime(settings.device, settings.max_rows)
    memory, models = settings.memory_gb * 1e9, settings.models
    catalogue = Catalogue(settings.checkpoints, runtime, memory, models, settings.downloads)
    engine = Engine(
        catalogue,
        max_rows=settings.max_rows,
        max_jobs=settings.max_jobs,
        max_jobs_per_owner=settings.max_jobs_per_owner,
    )
    parent = os.environ.get("GRADIO_TEMP_DIR")
    if parent is not None:
        os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="genlab-", dir=parent) as pictures, engine:
        # Gradio reads both when it is imported: nothing is reported home, and the pictures that
        # visitors made are gone when the app is.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": pictures}
        from genlab.ui.page import Lab, build_page, launch_options

        page = build_page(Lab(settings, catalogue, engine))
        page.queue(default_concurrency_limit=None).launch(
            server_name="0.0.0.0" if "SPACE_ID" in os.environ else settings.host,
            server_port=settings.port,
            share=settings.share,
            **launch_options(),
        )


if __name__ == "__main__":
    main()
