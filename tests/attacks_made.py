"""What a hostile or careless hand writes: rows, configs, chat templates, each by the name of what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

HALF = "\ud800"
ROWS = [{"prompt": f"the thing {k}", "completion": ("warm", "cold")[k % 2]} for k in range(6)]


def turns(**more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "a", **more}, {"role": "assistant", "content": "b"}]


WRITTEN: dict[str, str | bytes] = {
    "half a pair as a column": json.dumps({**ROWS[0], HALF: 1}),
    "half a pair as the only columns": json.dumps({HALF: "a", HALF + "b": "c"}),
    "half a pair as a message's key": json.dumps({"messages": turns(**{HALF: 1})}),
    "half a pair in a row that is none": json.dumps(HALF),
    "half a pair in a choice": json.dumps({**ROWS[0], "choices": ["warm", HALF]}),
    "ten thousand choices": json.dumps({**ROWS[0], "choices": ["warm", *map(str, range(10_000))]}),
    "choices nested deep": json.dumps({**ROWS[0], "choices": "[" * 100_000}),
    "an array nested deep": "[" * 100_000,
    "a row nested deep": '{"prompt": ' * 100_000,
    "ten megabytes in a prompt": json.dumps({"prompt": "a " * 5_000_000, "completion": "b"}),
    "ten megabytes in a word": json.dumps({"prompt": "a" * 10_000_000, "completion": "b"}),
    "a number of many digits": '{"prompt": ' + "9" * 5000 + ', "completion": "a"}',
    "a key twice among many": "{" + ",".join(f'"{k}": 1' for k in [*range(50_000), 49_999]) + "}",
    "NaN": '{"prompt": NaN, "completion": "a"}',
    "ids that are one": "\n".join(json.dumps({**row, "id": "x"}) for row in ROWS),
    "nothing": "",
    "a mark and nothing": b"\xef\xbb\xbf",
    "UTF-16": json.dumps(ROWS[0]).encode("utf-16"),
    "bytes": bytes(range(256)),
    "control characters as columns": json.dumps({"\x1b[2J\u202ex": "a", "y": "b"}),
    "a role of another kind": json.dumps({"messages": [{"role": {}, "content": "a"}]}),
}

CONFIGS: dict[str, dict[str, Any]] = {
    "heads that are text": {"num_attention_heads": "x"},
    "heads that do not divide": {"num_attention_heads": 7, "head_dim": None},
    "no heads": {"num_attention_heads": 0},
    "keys for no heads": {"num_key_value_heads": 3},
    "a negative width": {"hidden_size": -48},
    "a negative vocabulary": {"vocab_size": -1},
    "a billion layers": {"num_hidden_layers": 10**9},
    "no context": {"max_position_embeddings": 0},
    "a rope of no kind": {"rope_parameters": {"rope_type": "nonsense", "rope_theta": 1e4}},
    "a rope of no base": {"rope_parameters": {"rope_type": "default", "rope_theta": "x"}},
    "a rope that is a list": {"rope_parameters": [1]},
    "layers of no kind": {"layer_types": ["a"]},
    "architectures that are a number": {"architectures": 5},
    "a type that is a list": {"model_type": ["a"]},
}

LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = {
    "a loop in a loop": LOOP,
    "a loop in a loop under a tag": LOOP + "{% generation %}{% endgeneration %}",
    "a power in a range": "{% for i in range(10**12) %}{% endfor %}",
    "a range": "{% for i in range(9999999) %}{% endfor %}",
    "itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "no template": "{% for %}",
    "the inside of Python": "{{ messages.__class__.__mro__ }}",
}
# Each one operation that nothing could interrupt: these are never run, here neither.
COSTLY = {
    "a number": "{{ 1000000000000 }}",
    "a power of powers": "{{ 10**10**10 }}",
    "a power under a tag": "{% generation %}{{ 10**10**10 }}{% endgeneration %}",
    "a product": "{{ 'a' * 10000000000 }}",
    "a product of products": "{{ 'a' * 9999 * 9999 * 9999 }}",
    "a product of names": "{% set n = 9999999 %}{{ ('a' * n) }}",
    "a wide centre": "{{ 'a'|center(99999999999) }}",
    "a wide format": "{{ '%9999999d'|format(1) }}",
    "another wide format": "{{ '{:9999999}'.format(1) }}",
}
