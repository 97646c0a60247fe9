"""LoRA adapters of many lanes over one stock model; `rowmap.py` says whose rows are whose.

The model's linear layers keep their own forward, which serves all rows of the pass at once; each lane's B·A·x is added
to its own rows behind it. So names, tied weights and quantised layers stay as they are, and autograd does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fewfit.engine.mixed import Adapted
from fewfit.engine.rowmap import Adapter, Pass


class Wrapped:
    """The model with our forwards in its linear layers. `close` gives it back as it came."""

    def __init__(self, model: Any, names: Sequence[str]):
        self.model = model
        self.now: Pass | Adapted | None = None
        self._before: list[tuple[nn.Module, Any]] = []
        modules = dict(model.named_modules())
        self.modules = {name: modules[name] for name in names}
        for name, module in self.modules.items():
            self.patch(module, self._forward(name, module.forward))
        self.headless = False  # the head hands on what it is given, to engine/head.py
        head = model.get_output_embeddings()
        stock = head.forward
        self.patch(head, lambda x, *args, **kwargs: x if self.headless else stock(x, *args, **kwargs))

    def patch(self, module: nn.Module, forward: Any) -> None:
        self._before.append((module, module.__dict__.get("forward")))
        module.forward = forward

    def close(self) -> None:
        for module, before in reversed(self._before):
            if before is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = before
        self._before.clear()
        self.now = None

    @contextmanager
    def using(self, now: Pass | Adapted | None) -> Iterator[None]:
        """Within, rows meet the adapters of this pass."""
        before, self.now = self.now, now
        try:
            yield
        finally:
            self.now = before

    def _forward(self, name: str, original: Any) -> Any:
        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            y = original(x, *args, **kwargs)
            now = self.now
            return y if now is None or name not in now.touched else now.add(name, y, x)

        return forward

    def over(self, adapters_B: Sequence[Adapter | None]) -> Pass:
        return Pass(adapters_B, self.model.dtype)
