"""What goes to the hub: what is listed first, that it is private, and that nothing goes without a yes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from bundles_made import ICL, LORA, free, made
from exports_made import run_of
from folders_made import model_folder

from fewfit import bundle
from fewfit.cli.main import run
from fewfit.errors import EnvironmentProblem, UserError
from fewfit.export import export, push
from fewfit.export.push import Told
from fewfit.models import local


class Hub:
    """The face of huggingface_hub's HfApi, without a network."""

    def __init__(self, *, there: bool | None = None, error: Exception | None = None):
        self.private, self.error, self.sent = there, error, {}

    def create_repo(self, repo: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        if self.error is not None:
            raise self.error
        assert (repo_type, exist_ok) == ("model", True)
        self.private = private if self.private is None else self.private  # an old one stays what it was
        return f"https://huggingface.co/{repo}"

    def repo_info(self, repo: str, *, repo_type: str) -> Any:
        return type("Info", (), {"private": self.private})()

    def upload_folder(self, **sent: Any) -> None:
        self.sent = sent


@pytest.fixture
def saved(tmp_path: Path) -> bundle.Bundle:
    trained = made(local.load(model_folder(tmp_path / "base"), device="cpu"), LORA, free())
    return run_of(tmp_path / "run", trained, free(), pool=free()[:6])


def sent(saved: bundle.Bundle, hub: Hub, *, yes: bool = True, **more: Any) -> Told:
    seen: list[Told] = []
    push(
        saved.folder,
        "me/mine",
        bundle=saved,
        examples=free(),
        agreed=lambda told: bool(seen.append(told)) or yes,
        api=hub,
        **more,
    )
    return seen[0]


def test_it_is_private_and_whole(saved: bundle.Bundle) -> None:
    """Break seen to fail: `private` left to the hub, whose default is public."""
    hub = Hub()
    told = sent(saved, hub)
    assert hub.private is True
    assert set(hub.sent["allow_patterns"]) == {path.name for path in saved.folder.iterdir()} == set(told.files)
    assert hub.sent["folder_path"] == str(saved.folder)


def test_files_with_text_of_examples_are_named(saved: bundle.Bundle, tmp_path: Path) -> None:
    """Break seen to fail: texts looked for as they are, not as JSON, Jinja and Go write them."""
    told = sent(saved, Hub())
    assert told.texts == {"bundle.json": 12}  # prompts and answers of six examples
    assert told.weights == ("adapter_model.safetensors",)
    assert set(told.paths) == {"adapter_config.json", "bundle.json"}
    lines = list(told.lines())
    assert "bundle.json: 12 texts of your examples, word for word; names a folder of this machine" in lines
    quoted = [type(one)(one.id, f'say "{{{{{one.prompt}}}}}"\nnow', one.completion) for one in free()]
    trained = made(local.load(tmp_path / "base", device="cpu"), ICL, quoted)
    other = run_of(tmp_path / "other", trained, quoted)
    export(other, tmp_path / "out", ["merged", "template", "ollama", "prompt", "messages"], device="cpu", check=0)
    seen: list[Told] = []
    push(
        tmp_path / "out", "me/mine", bundle=other, examples=quoted, api=Hub(),
        agreed=lambda told: not seen.append(told),
    )  # fmt: skip
    texts = {"template.jinja", "merged/chat_template.jinja", "ollama/Modelfile", "prompt.txt", "messages.json"}
    assert {name for name, count in seen[0].texts.items() if count >= 6} == texts
    assert seen[0].weights == (), "nothing was trained"


def test_nothing_goes_without_a_yes(saved: bundle.Bundle) -> None:
    hub = Hub()
    with pytest.raises(UserError, match="nothing was sent"):
        sent(saved, hub, yes=False)
    assert (hub.private, hub.sent) == (None, {})


def test_a_public_repository_is_not_taken_for_a_private_one(saved: bundle.Bundle) -> None:
    """Break seen to fail: not asked what the old one is."""
    hub = Hub(there=False)
    with pytest.raises(UserError, match="there already, and public"):
        sent(saved, hub)
    assert hub.sent == {}
    sent(saved, hub, private=False)
    assert hub.sent


def test_errors_of_the_hub_are_one_line(saved: bundle.Bundle) -> None:
    from huggingface_hub import errors

    for error, kind, words in (
        (errors.HFValidationError("no"), UserError, "user/name"),
        (errors.LocalTokenNotFoundError("no"), EnvironmentProblem, "hf auth login"),
        (errors.OfflineModeIsEnabled("no"), EnvironmentProblem, "HF_HUB_OFFLINE"),
        (ConnectionError("no"), EnvironmentProblem, "network"),
    ):
        with pytest.raises(kind, match=words):
            sent(saved, Hub(error=error))


def test_a_hub_that_cannot_be_reached_is_one_line(saved: bundle.Bundle, monkeypatch: Any) -> None:
    """By the real client, at an address where nobody listens. Break seen to fail: its own errors let through."""
    from huggingface_hub import HfApi

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(EnvironmentProblem, match="cannot be reached") as told:
        sent(saved, HfApi(endpoint=nobody, token="hf_none"))
    assert told.value.code == "network" and "\n" not in told.value.line()


def test_the_command_asks(saved: bundle.Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """stdin is no terminal here: without --yes nothing may go."""
    import huggingface_hub

    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    assert run(["push", str(saved.folder.parent), "me/mine"]) == 2
    told = capsys.readouterr()
    assert "bundle.json: 12 texts of your examples" in told.err
    assert hub.sent == {}
    assert run(["push", str(saved.folder.parent), "me/mine", "--yes", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {"schema": 1, "repo": "me/mine", "url": "https://huggingface.co/me/mine", "private": True}
    assert hub.sent["repo_id"] == "me/mine"
    assert run(["push", str(saved.folder), "me/mine", "--yes", "--export", str(saved.folder)]) == 2
    export(saved, saved.folder.parent.parent / "out", ["peft"], check=0)
    there = ["push", str(saved.folder.parent), "me/mine", "--yes", "--export", str(saved.folder.parent.parent / "out")]
    assert run(there) == 0
    record = saved.folder / "bundle.json"  # break seen to fail: an export of another bundle, whose texts nobody counts
    record.write_text(record.read_text() + "\n")
    capsys.readouterr()
    assert run(there) == 2 and "is an export of another bundle" in capsys.readouterr().err


def test_what_was_public_before_is_told_as_it_is(saved: bundle.Bundle) -> None:
    """Break seen to fail: a repository that was private stays so with `--public`, and was called public."""
    hub = Hub(there=True)
    done = push(saved.folder, "me/mine", bundle=saved, examples=(), agreed=lambda told: True, private=False, api=hub)
    assert done.private
