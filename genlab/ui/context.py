"""What every tab is given: settings, what models there are, the client, runs, pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genlab.models.registry import Registry
from genlab.serving.client import Client
from genlab.serving.kept_runs import KeptRuns
from genlab.serving.lesson import Lesson
from genlab.serving.loop_lag import LoopLag
from genlab.serving.session_runs import RunRegistry
from genlab.serving.teacher import Teacher
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
    kept: KeptRuns = field(init=False)
    pictures: PictureStore = field(default_factory=PictureStore)
    loop_lag: LoopLag = field(default_factory=LoopLag)
    openings: OpeningRuns = field(default_factory=OpeningRuns)
    teacher: Teacher = field(init=False)
    lesson: Lesson = field(default_factory=Lesson)
    pages: list[Any] = field(default_factory=list)  # that show it

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", RunRegistry(self.client))
        self.runs.admit = self.lesson.admit
        kept = KeptRuns(self.runs, self.settings.return_seconds)
        object.__setattr__(self, "kept", kept)
        teacher = Teacher(self.settings.teacher_key.get_secret_value())
        object.__setattr__(self, "teacher", teacher)
