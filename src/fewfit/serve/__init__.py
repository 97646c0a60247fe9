"""What a run has delivered, served as OpenAI's interface has it: a client sends its query, and nothing else.

    fewfit serve runs/reviews                       # then any OpenAI client: base_url="http://127.0.0.1:8000/v1"

In the order of a request:

    connections.py  who may connect, and how slowly it may speak;  gate.py  who may ask: host, origin, key, size
    app.py          the addresses;  asked.py  what may stand in a body;  refusal.py  what is answered to the rest
    hosted.py       a bundle, or the base model, by name: queries to prompts;  house.py  all of them over one model
    exchange.py     one request: its jobs, its time, its client;  slots.py  what becomes of their events
    jobs.py         one text to be written, one prompt to be judged;  scheduler.py  the thread that does all of them
    forms.py        answers as OpenAI writes them;  metrics.py  as Prometheus reads them
    limits.py       how much of everything;  serving.py  start to end

Nothing here but `serving.serve`, `limits` and `house` is imported where FastAPI is not installed.
"""

from fewfit.serve.limits import Limits
from fewfit.serve.serving import serve

__all__ = ["Limits", "serve"]
