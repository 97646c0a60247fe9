"""What is asked for, and who is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from fewfit.errors import UserError
from fewfit.models.local import Loaded
from fewfit.suites.instruct import studies, tuning
from fewfit.suites.instruct.conditions import condition
from fewfit.suites.instruct.questions import OWN
from fewfit.suites.instruct.studies import USUAL, Sampling, Study
from fewfit.writing import Decoding, LocalWriter, Writer

NOT_TUNED = "a model behind an endpoint is not tuned, nor does it tell its probabilities"


@dataclass(frozen=True)
class Asked:
    """`conditions` None: those of each study. `chat`: conversations as the model's template has them; None: where it
    has one."""

    model: str
    studies: tuple[Study, ...] = ("comparison",)
    conditions: tuple[str, ...] | None = None
    questions: tuple[str, ...] = (OWN,)
    number: int = 40
    seeds: int = 1
    sampling: Sampling = USUAL
    max_new_tokens: int = 128
    lr: float = tuning.LR
    chat: bool | None = None

    def __post_init__(self) -> None:
        for study in self.studies:
            if study not in studies.STUDIES:
                raise UserError(f"unknown study {study!r}", hint=f"choose among {', '.join(studies.STUDIES)}")
        for name in self.conditions or ():
            condition(name)
        for flag, value in (("seeds", self.seeds), ("number", self.number), ("max_new_tokens", self.max_new_tokens)):
            if value < 1:
                raise UserError(f"{flag} {value}", hint="give 1 or more")
        if not self.lr > 0:
            raise UserError(f"--lr {self.lr:g}", hint="give more than 0, as in 2e-4")
        Decoding(**asdict(self.sampling))  # refuses what means nothing


@dataclass(frozen=True)
class Subject:
    """Who is asked: a loaded model, or a writer behind an endpoint, which cannot be tuned."""

    name: str
    writer: Writer
    chat: bool
    loaded: Loaded | None = None
    url: str = ""

    @property
    def digest(self) -> str:
        """Of an endpoint its address."""
        return self.loaded.ref.digest if self.loaded else self.url

    @property
    def dtype(self) -> str:
        return self.loaded.dtype if self.loaded else ""


def subject_of(asked: Asked, loaded: Loaded) -> Subject:
    chat = bool(loaded.tokenizer.chat_template) if asked.chat is None else asked.chat
    return Subject(asked.model, LocalWriter(loaded.model, loaded.tokenizer, together=True), chat, loaded)
