"""A run's page while it goes on: served on this machine alone, made from the files of the run's folder.

tracks.py   what the lanes have on disk, read as it grows
standing.py who leads, how surely, how much is left, in words and numbers
page.py     the same as HTML, with the report's chart and, at the end, its first screen
view.py     what there is to show at the moment: the page, made anew where anything changed; a watch of the run
server.py   who may ask for it, and how it is given
watching.py all of it around a run
"""
