"""GenLab's entry point: settings, models, serving, page, launch. Also a Space's app_file."""

from __future__ import annotations

import os
import signal
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from genlab.models.registry import Registry
from genlab.requests import UserError
from genlab.serving.choose import open_client
from genlab.serving.uploads import upload_folder
from genlab.settings import Host, Settings, wrong_setting


class Flags(Settings):
    """The settings, each of them also a flag: GENLAB_MAX_ROWS is --max-rows."""

    model_config = SettingsConfigDict(
        cli_parse_args=True, cli_prog_name="app.py", cli_kebab_case=True, cli_implicit_flags=True
    )


def main() -> None:
    """Serve the page until Ctrl+C, or until the system asks to end."""
    settings, host = Flags(), Host()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl+C: leave nothing behind
    memory = settings.memory_gb * 1e9
    temporary = os.environ.get("GRADIO_TEMP_DIR")
    with upload_folder(temporary) as uploads, upload_folder(settings.visitor_models) as own:
        settings = settings.model_copy(update={"visitor_models": own if settings.uploads else None})
        registry = Registry(
            settings.checkpoints, settings.models, settings.downloads, memory,
            settings.visitor_models,
        )  # fmt: skip
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # Gradio reads it when it is imported
        client = open_client(registry, settings, host)
        from genlab.ui.page import AppContext, build_page, launch_options

        context = AppContext(settings, registry, client)
        # max_size: without one, Gradio lets a single visitor in on ZeroGPU
        page = build_page(context).queue(default_concurrency_limit=None, max_size=10_000)
        page.launch(
            server_name="0.0.0.0" if host.space_id else settings.host,
            server_port=settings.port,
            share=settings.share,
            prevent_thread_lock=True,
            **launch_options(context),
        )
        with client:  # imports torch, behind the page
            client.wait_until_ready()
            page.block_thread()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
    except ValidationError as error:
        sys.exit(wrong_setting(error))
