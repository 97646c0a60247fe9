"""Can a base model be made to follow instructions by its prompt alone (arXiv 2405.19874)?

conditions.py   a prompt and the weights that it is put to, by name: urial, random-10, ft-30, urial:shifted@ft-30
examples.py     the conversations that prompts show and that are trained on, and what the ablations make of them
questions.py    what is asked, in two turns, and who judges it
tuning.py       instruction fine-tuning on the same examples
answering.py    a cell: a condition asked all questions of a set
judging.py      what judges make of its answers
divergence.py   how far a condition's next token is from the model's own, by its place in the answer
references.py   how likely right answers are behind a condition's prompt
studies.py      which cells a study has;  suite.py  all of it, kept as it comes;  claims.py  what the paper claims
"""
