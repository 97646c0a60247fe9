"""Lanes over one frozen model. To be read in this order:

    learner.py     the faces: who scores, who writes text, who trains; rows in, scores out
    task.py        what a lane is asked at example i, and what is written down of the answer;  source.py  what it learns
    stream.py      the loop: predict, write down, train
    plain.py       one lane at a time on stock PEFT
    stack.py       many lanes in one pass: rowmap.py (whose rows are whose), adapters.py (B·A·x behind the model's own
                   linear layers), head.py (losses a few rows at a time), sharing.py (what lies below the first adapter)
    optim.py       a lane's parameters and their stock optimizer;  rates.py  its schedule;  targets.py  where they sit
    score.py       what logits say of an answer;  forward.py, places.py  logits at some places of some rows
    generate.py    greedy text;  prefix.py, beginning.py  after a shared start;  keyvalue.py  choices over kept keys
    joint.py       many texts in one row of tokens, joining as they come: packed.py (its mask), mixed.py (an adapter for
                   each text)
    memory.py      how much there is, and what is done when it does not suffice;  recompute.py  layers run again
    threads.py     the process, left as it was found (the model: models/lent.py)

From `fewfit.fit` to a matrix product: fit → execute → Stream.run → StackLearner.score → the model's own forward →
Wrapped's forward of a linear layer → Pass.add → LaneGroup.add → torch.bmm.

On a GPU this was not run: passes are dense (lanes x rows x tokens, of lengths rounded up to 16), the same code as here.
"""
