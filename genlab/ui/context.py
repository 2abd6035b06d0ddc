"""What every tab is given: settings, what models there are, the client, runs, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from genlab.models.registry import Registry
from genlab.serving.client import Client
from genlab.serving.loop_lag import LoopLag
from genlab.serving.session_runs import RunRegistry
from genlab.settings import Settings
from genlab.ui.opening import OpeningRuns
from genlab.ui.picture_store import PictureStore


@dataclass(frozen=True)
class AppContext:
    """One running GenLab, as its page sees it."""

    settings: Settings
    registry: Registry
    client: Client
    runs: RunRegistry = field(init=False)
    pictures: PictureStore = field(default_factory=PictureStore)
    loop_lag: LoopLag = field(default_factory=LoopLag)
    openings: OpeningRuns = field(default_factory=OpeningRuns)

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", RunRegistry(self.client))
