"""A run: what was asked is prepared (a folder whose run.json says it all), executed, and delivered.

prepare.py   settings, data and models → run.json;  budget.py  what of the grid fits a time
execute.py   run.json → lanes run to their end;  deliver.py  → the choice, bundles, the test file
folders.py   a run's folder and its lock;  snapshots.py  lanes' state on disk;  sessions.py  how each go at it ended
helpers.py   processes beside this one: the executor of one machine
watch.py     what a run tells while it goes;  inspection.py  what a lane saw at a place
"""
