"""GenLab's entry point: settings, models, serving, page, launch. Also a Space's app_file."""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from genlab.requests import UserError
from genlab.serving import logs
from genlab.serving.choose import open_client
from genlab.serving.ending import wait_for_the_end
from genlab.serving.observed import ObservedClient
from genlab.serving.startup import address, open_registry, prepare, settled
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
    prepare(settings, host)
    temporary = os.environ.get("GRADIO_TEMP_DIR")
    with upload_folder(temporary) as uploads, upload_folder(settings.visitor_models) as own:
        settings = settings.model_copy(update={"visitor_models": own if settings.uploads else None})
        registry = open_registry(settings)
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # Gradio reads it when it is imported
        client = ObservedClient(open_client(registry, settings, host), registry)
        from genlab.ui.closing import closing
        from genlab.ui.page import AppContext, build_page, launch_options

        context = AppContext(settings, registry, client)
        # max_size: without one, Gradio lets a single visitor in on ZeroGPU
        page = build_page(context).queue(default_concurrency_limit=None, max_size=10_000)
        page.launch(prevent_thread_lock=True, **address(settings, host), **launch_options(context))
        logs.take_over("uvicorn", "uvicorn.error", "uvicorn.access")
        with closing(page), client:  # imports torch, behind the page
            client.wait_until_ready()
            settled()
            wait_for_the_end()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
    except ValidationError as error:
        sys.exit(wrong_setting(error))
