"""`fewfit serve`: bundles behind OpenAI's interface."""

from __future__ import annotations

from typing import Annotated

import typer

from fewfit.cli import output


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Runs, bundles, or `last`; NAME=RUN names one.", show_default=False),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. All but loopback need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 for any that is free.")] = 8000,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A variable that holds the key to be asked for.", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name that the Host header may have. Repeat it.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda …")] = "auto",
    batch: Annotated[int, typer.Option(metavar="N", help="Texts and labels that share a forward.", min=1)] = 32,
    queue: Annotated[int, typer.Option(metavar="N", help="Under way or waiting; beyond it 429.", min=1)] = 256,
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", help="Of one request.", min=0.1)] = 120.0,
) -> None:
    """Serve what runs have delivered behind OpenAI's interface.

    A client sends its query and no more: demonstrations, instruction, template and adapter are the bundle's. `model` is
    the run's name; `base` is the model without any of them. A page at / tries it out. Needs the extra `serve`.
    """
    from fewfit.serve.limits import Limits
    from fewfit.serve.serving import address
    from fewfit.serve.serving import serve as serve_runs

    limits = Limits(texts=batch, queue=queue, seconds=time_limit)
    serve_runs(
        runs, at=address(host, port, api_key_env, allow_host or ()), limits=limits, device=device, tell=output.say
    )
