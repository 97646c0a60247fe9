"""A run: what was asked is prepared (a folder whose run.json says it all), executed, and delivered.

material.py  settings and data → what can be read and refused without a model
prepare.py   the same with models → run.json;  budget.py  what of the grid fits a time
execute.py   run.json → lanes run to their end;  session.py  one go at it;  deliver.py  → the choice, bundles, the test
documents.py the same for lanes that read documents;  reading.py  what they read and are asked
sets.py      demonstrations for all queries, and inferences.py  what the untrained model infers, kept for resume
cost.py      what lanes cost
folders.py   a run's folder and its lock;  snapshots.py  lanes' state on disk;  journal.py  how each go at it ended
teams.py     which learner runs which lanes;  sizing.py, passes.py  how large passes may be;  timing.py  how long
executor.py  processes beside this one, on this machine;  helper.py  their side
watch.py     what a run tells while it goes;  inspection.py  what a lane saw at a place
"""
