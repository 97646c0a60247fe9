"""The few-shot tasks of arXiv 2512.19879 and any folder of tasks, on any model.

task.py      what a task is, and which of its examples are held out;  changed.py  tasks made of others
condition.py what is compared: one lane, or several of which the stream chooses
library.py   which files hold which tasks; a reader for each published format beside it (bbh.py, raft.py, …)
suite.py     every cell (task × budget × seed), kept as it finishes;  cell.py  one of them
comparing.py better, equal or worse, example by example;  paper.py  the paper's own numbers
planning.py  what it would cost
"""
