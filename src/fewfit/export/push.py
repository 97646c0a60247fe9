"""A bundle, or an export, on the Hugging Face hub: private unless told otherwise, and never without saying what of the
user's own text goes along."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewfit.bundle import Bundle
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.examples.example import Example
from fewfit.export.bake import literal
from fewfit.export.serving import go_text
from fewfit.models.hub import is_of_transport
from fewfit.models.messages import first_line

# Files that are made of examples; in others a short text (a label, a number) stands by chance.
OF_EXAMPLES = ("bundle.json", "template.jinja", "chat_template.jinja", "prompt.txt", "messages.json", "Modelfile")
LEAST = 12  # characters
VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model")
WEIGHTS = (".safetensors",)


@dataclass(frozen=True)
class Pushed:
    repo: str
    url: str
    private: bool
    files: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """What there is to know of a folder before it leaves this machine."""

    files: tuple[str, ...]
    texts: dict[str, int]  # by file, how many of the examples' texts stand in it word for word
    weights: tuple[str, ...]  # trained on the examples, parts of which they may give away
    paths: tuple[str, ...]  # files that name a folder of this machine

    def lines(self) -> Iterator[str]:
        for name in self.files:
            notes = [f"{self.texts[name]} texts of your examples, word for word"] if name in self.texts else []
            notes += ["trained on your examples, and may give parts of them away"] if name in self.weights else []
            notes += ["names a folder of this machine"] if name in self.paths else []
            yield f"{name}: {'; '.join(notes)}" if notes else name


def push(
    folder: Path,
    repo: str,
    *,
    bundle: Bundle,
    examples: Sequence[Example],
    agreed: Callable[[Told], bool],
    private: bool = True,
    api: Any = None,
) -> Pushed:
    """`agreed` is asked once all is known, before anything is sent. `api` is huggingface_hub's HfApi."""
    told = look(folder, bundle, examples)
    if not agreed(told):
        raise UserError("nothing was sent", where=repo, hint="--yes agrees beforehand", code="not-agreed")
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    with write_errors(repo):
        made = api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        is_private = bool(api.repo_info(repo, repo_type="model").private)  # one that was there keeps what it was
        if private and not is_private:
            raise UserError(
                "is there already, and public", where=repo, hint="name another, or say --public", code="public"
            )
        api.upload_folder(
            repo_id=repo,
            repo_type="model",
            folder_path=str(folder),
            allow_patterns=list(told.files),
            commit_message=f"{bundle.lane.name}, by fewfit {bundle.version}",
        )
    return Pushed(repo, str(made), is_private, told.files)


def look(folder: Path, bundle: Bundle, examples: Sequence[Example]) -> Told:
    files = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    wanted = texts_of(bundle, examples)
    texts, paths = {}, []
    places = [str(one) for one in (bundle.model.folder, bundle.folder) if one]
    for name in files:
        if name.endswith(WEIGHTS) or Path(name).name in VOCABULARY:
            continue
        content = (folder / name).read_text(encoding="utf-8", errors="replace")
        least = 1 if Path(name).name in OF_EXAMPLES else LEAST
        if found := sum(any(form in content for form in forms) for text, forms in wanted.items() if len(text) >= least):
            texts[name] = found
        if any(place in content or json.dumps(place)[1:-1] in content for place in places):
            paths.append(name)
    trained = tuple(name for name in files if name.endswith(WEIGHTS)) if bundle.lane.trains else ()
    return Told(tuple(files), texts, trained, tuple(paths))


def texts_of(bundle: Bundle, examples: Sequence[Example]) -> dict[str, set[str]]:
    """Each text of the user's, with the forms that it may have in a file."""
    found = [text for text in (bundle.settings.instruction, bundle.settings.system) if text]
    for example in (*examples, *bundle.pool, *bundle.demonstrations):
        prompts = [example.prompt] if isinstance(example.prompt, str) else [turn.content for turn in example.prompt]
        found += [*prompts, example.completion]
    texts = dict.fromkeys(text.strip() for text in found if text.strip())
    return {
        text: {
            text,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            literal(text)[1:-1],
            go_text(text),
        }
        for text in texts
    }


@contextmanager
def write_errors(repo: str) -> Iterator[None]:
    """The hub's refusals in one line each; the client raises errors of two libraries."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError:
        raise UserError("is no name on the hub", where=repo, hint="write it as user/name") from None
    except errors.LocalTokenNotFoundError:
        raise EnvironmentProblem("nobody is logged in", where=repo, hint="hf auth login", code="access") from None
    except errors.OfflineModeIsEnabled:
        raise EnvironmentProblem("HF_HUB_OFFLINE is set", where=repo, hint="unset it", code="network") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise EnvironmentProblem(
                f"the hub refuses ({status})",
                where=repo,
                hint="hf auth login, with a token that may write",
                code="access",
            ) from None
        message = f"the hub answers {status or 'with an error'}: {first_line(error)}"
        raise EnvironmentProblem(message, where=repo, hint="try again later", code="network") from error
    except Exception as error:
        if not (isinstance(error, OSError | RuntimeError) or is_of_transport(error)):
            raise
        message = f"cannot be reached: {first_line(error)}"
        raise EnvironmentProblem(message, where=repo, hint="check the network", code="network") from error
