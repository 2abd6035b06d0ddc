"""What is asked of Hugging Face's hub: is a model cached, how large is it, fetch it.

Only ``cached`` works without a network; the others raise UserError with one sentence.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from tqdm.asyncio import tqdm

from genlab.formats.pipelines import INDEX, NEVER_LOADED
from genlab.requests import UserError

# hf_xet downloads in native threads that an exception in a progress bar does not stop; over HTTP it
# does, at the next ten megabytes.
constants.HF_HUB_DISABLE_XET = True

TEXT = (".json", ".txt", ".model", ".jinja")
UNREACHED = "huggingface.co cannot be reached; what lies here already works without it."


class DownloadStopped(Exception):
    """A download was stopped on request."""


@dataclass(frozen=True)
class Listing:
    """The files of a model that GenLab needs."""

    files: tuple[str, ...]
    nbytes: int


def cached(repo_id: str) -> Path | None:
    """The folder of a model in the local cache, perhaps not whole; asks no network."""
    try:
        index = huggingface_hub.try_to_load_from_cache(repo_id, INDEX)
    except HFValidationError:
        return None
    return Path(index).parent if isinstance(index, str) else None


def listing(repo_id: str, weights: bool = True) -> Listing:
    """Which files of a model to download, and how many bytes they are: safetensors, fp16 first.

    Without ``weights``, its configuration only.
    """
    with sentences(repo_id):
        info = huggingface_hub.model_info(repo_id, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        if INDEX not in sizes:
            raise UserError(f"{repo_id} is no diffusers model: it has no {INDEX}.")
        path = huggingface_hub.hf_hub_download(repo_id, INDEX)
        index = json.loads(Path(path).read_text(encoding="utf-8"))
    files = needed(index, list(sizes))
    if not weights:
        files = tuple(name for name in files if name.endswith(TEXT))
    return Listing(files, sum(sizes[name] for name in files))


def needed(index: dict[str, Any], files: Sequence[str]) -> tuple[str, ...]:
    """The files of a diffusers repository that have to be there, from its model_index.json.

    Of each component its configuration and its safetensors weights, in fp16 where they are stored
    so: half the bytes. Raises UserError for weights that are pickled only.
    """
    chosen = [INDEX]
    for name, about in index.items():
        if not isinstance(about, list) or not about[0] or name in NEVER_LOADED:
            continue
        own = [f for f in files if f.startswith(f"{name}/") and f.count("/") == 1]
        weights = [f for f in own if f.endswith(".safetensors") and "non_ema" not in f]
        half = [f for f in weights if ".fp16" in f]
        full = [f for f in weights if ".fp16" not in f]
        if not weights and any(f.endswith(".bin") for f in own):
            raise UserError(f"Its {name} is stored as a pickle only, which GenLab never loads.")
        chosen += [f for f in own if f.endswith(TEXT)] + (half or full)
    return tuple(chosen)


def download(
    repo_id: str, wanted: Listing, report: Callable[[float], None], stop: Callable[[], bool]
) -> Path:
    """Fetch a model's files into the cache; what is there already is not fetched again.

    Args:
        report: called with the share that is done, 0 to 1.
        stop: asked again and again; once it is true, DownloadStopped is raised.
    """
    with sentences(repo_id):
        Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(constants.HF_HUB_CACHE).free
        if free < wanted.nbytes:
            raise UserError(
                f"{repo_id} takes {wanted.nbytes / 1e9:.1f} GB of disk, but only "
                f"{free / 1e9:.1f} GB are free."
            )
        folder = huggingface_hub.snapshot_download(
            repo_id,
            allow_patterns=list(wanted.files),
            tqdm_class=bars(wanted.nbytes, report, stop),
        )
    return Path(folder)


def bars(nbytes: int, report: Callable[[float], None], stop: Callable[[], bool]) -> type[tqdm]:
    """A kind of progress bar that shows nothing, tells ``report`` and ends on request."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named | {"file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            if stop():
                raise DownloadStopped
            shown = super().update(n)
            if self.unit == "B" and nbytes:
                report(min(1.0, self.n / nbytes))
            return shown

    return Bar


@contextmanager
def sentences(repo_id: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into UserError with one sentence."""
    try:
        yield
    except (UserError, DownloadStopped):
        raise
    except GatedRepoError:
        raise UserError(
            f"{repo_id} asks for its licence to be accepted on huggingface.co/{repo_id}, "
            "and for a token of who accepted it (`hf auth login`)."
        ) from None
    except RepositoryNotFoundError:
        raise UserError(f"huggingface.co has no public model called {repo_id}.") from None
    except LocalEntryNotFoundError:
        raise UserError(UNREACHED) from None
    except (EntryNotFoundError, HFValidationError, ValueError):
        raise UserError(f"{repo_id} is no diffusers model that GenLab can read.") from None
    except HfHubHTTPError as error:
        raise UserError(f"huggingface.co refused {repo_id}: {_first_line(error)}") from None
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise UserError(f"The download cannot be stored: {error.strerror}.") from None
        raise UserError(UNREACHED) from None
    except Exception as error:
        if type(error).__module__.startswith(("httpx", "httpcore", "requests")):
            raise UserError(UNREACHED) from None
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
