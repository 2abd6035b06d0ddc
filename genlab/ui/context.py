"""What every tab is given: the settings, the checkpoints, the engine and who runs what on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from genlab.engine import Engine
from genlab.models.registry import Catalogue
from genlab.serving.session_runs import Desk
from genlab.settings import Settings


@dataclass(frozen=True)
class Lab:
    """One running GenLab, as its page sees it."""

    settings: Settings
    catalogue: Catalogue
    engine: Engine
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "desk", Desk(self.engine))
