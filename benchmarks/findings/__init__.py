"""What the recorded results say together: the tables and pictures of docs/findings.md.

runs.py      cells of benchmarks.promise, as rows of a suite: of each kind the lane that its stream chose
tables.py    kinds against each other, fixed settings against chosen ones, main table, studies
pictures.py  three figures
"""
