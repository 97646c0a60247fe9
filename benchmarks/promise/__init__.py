"""Is what is promised what is delivered? Lanes streamed, then served on examples that nobody has seen.

tasks.py    published tasks, cut into 60 examples to learn from and up to 300 to test on
record.py   one cell: the stream of eight lanes, and what each then answers under many sets of demonstrations
served.py   answers of a model under given demonstrations
"""
