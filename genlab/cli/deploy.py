"""`deploy`: put GenLab on Hugging Face Spaces. No torch; asks the hub only to upload."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from genlab.cli.space import HARDWARE, ZERO, SpacePlan, cost_in_words, plan_space
from genlab.models.sources import HUB_ID
from genlab.requests import UserError
from genlab.settings import PROJECT, Settings

ASLEEP_AFTER = 60  # minutes without a visitor, on hardware that is paid by the hour
LONGEST_AWAKE = 30 * 24 * 60  # minutes that nobody comes and somebody pays
REPLACED = ["app.py", "genlab/*", "docs/*", "checkpoints/*"]
"""What an upload removes from the Space when it is no longer here."""


def deploy(
    space: Annotated[str, typer.Option(help="OWNER/NAME of the Space; made if it is not there.")],
    hardware: Annotated[str, typer.Option(help=f"One of {', '.join(HARDWARE)}.")] = ZERO,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A hub id, for each model that the Space is built with: org/name."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees it.")] = False,
    sleep_minutes: Annotated[
        int, typer.Option(help="Without a visitor, until paid hardware is given back.")
    ] = ASLEEP_AFTER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, upload nothing.")] = False,
) -> None:
    """Put GenLab on a Hugging Face Space."""
    if not 1 <= sleep_minutes <= LONGEST_AWAKE:
        raise UserError(
            f"--sleep-minutes is {sleep_minutes}, but must be a whole number from 1 to "
            f"{LONGEST_AWAKE}."
        )
    if hardware not in HARDWARE:
        raise UserError(f"There is no hardware {hardware!r}; there are: {', '.join(HARDWARE)}.")
    settings = Settings()
    models = {name: _files_of(name, dry_run) for name in model or ()}
    plan = plan_space(PROJECT, settings.checkpoints, space, hardware, models)
    for line in described(plan, sleep_minutes):
        typer.echo(line)
    if plan.problems:
        raise UserError("Nothing was uploaded: " + " ".join(plan.problems))
    if dry_run:
        typer.echo("Nothing was uploaded: this was a dry run.")
        return
    address = upload(plan, private, sleep_minutes)
    typer.echo(f"Uploaded. It is being built, which takes some minutes: {address}")


def described(plan: SpacePlan, sleep_minutes: int) -> list[str]:
    """A plan for a person to read, one line each."""
    about = HARDWARE[plan.hardware]
    count = len(plan.files) + len(plan.written)
    lines = [
        f"Space      {plan.space}",
        f"Hardware   {plan.hardware}: {about.title}",
        f"Files      {count}, {plan.nbytes / 1e6:.0f} MB",
        *(f"Variable   {name}={value}" for name, value in plan.variables.items()),
        *(f"Pin        {line}" for line in _changed_pins(plan)),
        *(f"Cost       {sentence}" for sentence in cost_in_words(plan.hardware)),
    ]
    if about.billed:
        lines.append(f"Sleeps     after {sleep_minutes} minutes without a visitor")
    return [*lines, *(f"Note       {note}" for note in plan.notes)]


def upload(plan: SpacePlan, private: bool = False, sleep_minutes: int = ASLEEP_AFTER) -> str:
    """Make the Space, or bring an older one up to date; its address.

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    about = HARDWARE[plan.hardware]
    sleep = 60 * sleep_minutes if about.billed else None
    with hub_sentences(plan.space):
        check_account(hub.whoami(), plan)
        address = hub.create_repo(
            plan.space,
            repo_type="space",
            exist_ok=True,
            private=private,
            space_sdk="gradio",
            space_hardware=plan.hardware,  # type: ignore[arg-type]  # it is a str too
            space_sleep_time=sleep,
        )
        for name, value in plan.variables.items():
            hub.add_space_variable(plan.space, name, value)
        with tempfile.TemporaryDirectory(prefix="genlab-space-") as folder:
            gather(plan, Path(folder))
            hub.upload_folder(
                repo_id=plan.space,
                repo_type="space",
                folder_path=folder,
                commit_message="GenLab",
                delete_patterns=REPLACED,
            )
        runtime = hub.get_space_runtime(plan.space)
        if plan.hardware not in (runtime.hardware, runtime.requested_hardware):
            hub.request_space_hardware(plan.space, plan.hardware, sleep_time=sleep)  # type: ignore[arg-type]
    return str(address)


def check_account(account: dict[str, Any], plan: SpacePlan) -> None:
    """Raise UserError if this account cannot host the Space, before anything is made.

    Args:
        account: what the hub says of who is logged in.
    """
    owner = plan.space.split("/")[0]
    organizations = [org.get("name") for org in account.get("orgs", ())]
    if owner != account.get("name") and owner not in organizations:
        raise UserError(
            f"You are logged in as {account.get('name')}, who cannot make Spaces for {owner}."
        )
    if owner == account.get("name") and not account.get("isPro") and plan.hardware != ZERO:
        raise UserError(
            f"{owner} is a free account, which can host Gradio Spaces on {ZERO} only: use "
            f"--hardware {ZERO}, or subscribe to PRO."
        )


def gather(plan: SpacePlan, folder: Path) -> None:
    """All files of a plan, as they are to lie in the Space."""
    for name, path in plan.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name, text in plan.written.items():
        (folder / name).write_text(text, encoding="utf-8")


def _files_of(name: str, offline: bool) -> Sequence[str]:
    """The files that GenLab needs of a model of the hub; () is all of them."""
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{name!r} is no hub id, such as org/name.")
    if offline:
        return ()
    from genlab.models.hub import listing

    return listing(name).files


def _changed_pins(plan: SpacePlan) -> list[str]:
    """The lines of the Space's requirements that are not those of this repository."""
    own = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in plan.written["requirements.txt"].splitlines() if line not in own]


@contextmanager
def hub_sentences(what: str) -> Iterator[None]:
    """Turns what the hub's client raises into UserError with one sentence."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        yield
    except UserError:
        raise
    except LocalTokenNotFoundError:
        raise UserError(
            "Nobody is logged in: make a token that may write on "
            "https://huggingface.co/settings/tokens, and call `hf auth login`."
        ) from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        said = str(error).strip().splitlines()[0][:200]
        if status == 401:
            raise UserError("The token is not valid any more: call `hf auth login`.") from None
        if status == 402:
            raise UserError(f"This account's plan does not pay for {what}: {said}") from None
        raise UserError(f"huggingface.co refused {what}: {said}") from None
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.startswith("httpx"):
            raise UserError("huggingface.co cannot be reached; nothing more was done.") from None
        raise
