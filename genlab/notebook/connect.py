"""Opens a Lab: here, or where an address leads. Loads what either takes when it is asked for."""

from __future__ import annotations

import warnings
from typing import Any

from genlab.notebook.lab import Lab


def connect(url: str | None = None, **options: Any) -> Lab:
    """A lab to draw in; close it, or use it in a ``with``, when its memory is wanted back.

    Args:
        url: address of a running GenLab, or OWNER/NAME of a Space; None: this process draws.
        options: with an address what `gradio_client.Client` takes: ``ssl_verify``, ``auth``,
            ``token``. Without one any setting, as the environment's ``GENLAB_<NAME>``:
            ``device="cuda"``, ``models=("org/name",)``.

    Raises:
        UserError: nobody answers, `gradio_client` is missing, or an option is wrong.
    """
    if url is not None:
        from genlab.notebook.remote import RemoteLab

        return RemoteLab(url, **options)
    # tqdm's, whenever a library first asks for a bar: that ipywidgets would draw nicer ones
    warnings.filterwarnings("ignore", message="IProgress not found")
    from genlab.notebook.local import open_here, settings_with

    return open_here(settings_with(options))
