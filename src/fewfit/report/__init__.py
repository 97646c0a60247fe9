"""The page that shows a run: one file that opens offline, loads nothing and evaluates nothing from text.

markup.py     HTML and SVG as text; all escaping
page.py       the frame: head, security policy, style, script
evidence.py   what a page is made from: the run's files, read once
figure.py     scales, axes, lines and bands, as plain SVG
opening.py    the first screen: verdict, winner, score, what to do next
race.py  lanes.py  shots.py  heat.py  differences.py  confusion.py  more.py  costs.py  mistakes.py  repeat.py
              one section each, in the order of the page
writing.py    a run's page, put together and written
comparing.py  several runs beside each other
"""
