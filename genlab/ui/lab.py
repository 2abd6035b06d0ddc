"""What every tab is given: the settings, the checkpoints, the engine and who runs what on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from genlab.catalogue import Catalogue
from genlab.engine import Engine
from genlab.settings import Settings
from genlab.ui.desk import Desk


@dataclass(frozen=True)
class Lab:
    """One running GenLab, as its page sees it."""

    settings: Settings
    catalogue: Catalogue
    engine: Engine
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "desk", Desk(self.engine))
