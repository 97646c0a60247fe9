"""A model by its Hugging Face name: fetched into its cache once, and taken from there without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fewfit.errors import EnvironmentProblem, UserError
from fewfit.models.messages import first_line

SMALL = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken")


def fetch(name: str, revision: str | None, weights: bool) -> Path:
    """The folder of the commit that the name stands for."""
    from huggingface_hub import snapshot_download

    wanted = [*SMALL, "*.safetensors"] if weights else list(SMALL)
    with hub_errors(name, revision):
        # Folders inside a repository hold other formats (onnx, original), `consolidated` the same weights once more.
        got = snapshot_download(
            name, revision=revision, allow_patterns=wanted, ignore_patterns=["*/*", "consolidated*"], max_workers=4
        )
    return Path(got)


def listed(name: str, commit: str, lacks: Sequence[str]) -> list[str]:
    """What the repository holds, of whose snapshot files are not here.

    Offline a snapshot is what was fetched before, and `plan` fetches no weights: that is the network's matter.
    """
    from huggingface_hub import HfApi

    problem = f"was fetched in part: {len(lacks)} of its files are not in the cache, {lacks[0]} first"
    try:
        with hub_errors(name, commit):
            held = list(HfApi().list_repo_files(name, revision=commit))
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            f"{problem}: {first_line(error.__cause__ or error)}",
            where=name,
            hint="check the network (and HF_HUB_OFFLINE), or name a local folder",
            code="network",
        ) from error
    if set(lacks) & set(held):
        raise EnvironmentProblem(problem, where=name, hint="check the network, and run it again", code="network")
    return held


def is_of_transport(error: Exception) -> bool:
    """Those of the hub's client have no base in common with Python's, and come of another library in each release."""
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "requests", "urllib3")


@contextmanager
def hub_errors(name: str, revision: str | None) -> Iterator[None]:
    """The hub's errors in one line each: what the user can mend, and what the network has to."""
    from huggingface_hub import errors

    def named(*names: str) -> tuple[type[BaseException], ...]:
        return tuple(found for name in names if (found := getattr(errors, name, None)) is not None)

    tried = f"looked for a folder {Path(name).absolute()} and for huggingface.co/{name}"
    try:
        yield
    except errors.GatedRepoError:
        raise EnvironmentProblem(
            "is gated: its owner asks you to accept terms first",
            where=name,
            hint=f"accept them at huggingface.co/{name}, then hf auth login",
            code="access",
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"no such model ({tried})", where=name, hint="check the name; a private one needs hf auth login"
        ) from None
    except named("RevisionNotFoundError", "RevisionResolutionError"):
        raise UserError(f"the hub has no revision {revision!r} of it", where=name, hint="check --revision") from None
    except named("HFValidationError", "HfUriError"):
        raise UserError(
            f"is neither a folder nor a Hugging Face name ({tried})", where=name, hint="check the path or the name"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, ConnectionError) as e:
        raise EnvironmentProblem(
            f"cannot be fetched, and the cache does not hold it ({tried}): {first_line(e)}",
            where=name,
            hint="check the network (and HF_HUB_OFFLINE), or name a local folder",
            code="network",
        ) from e
    except OSError as e:
        raise EnvironmentProblem(f"fetching failed: {first_line(e)}", where=name, hint="check disk and network") from e
    except Exception as e:
        if not is_of_transport(e):
            raise
        raise EnvironmentProblem(
            f"fetching failed: {first_line(e)}", where=name, hint="check the network", code="network"
        ) from e
