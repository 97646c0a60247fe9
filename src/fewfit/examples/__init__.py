"""What comes in: reading each format, checking, refusing.

`load` reads a source and checks its rows. To add a format of files, write a reader and name it in sources.READERS; to
add a shape of rows, name its columns in shapes.
"""

from fewfit.examples.dataset import Dataset, digest, load, restore, save
from fewfit.examples.example import Example, Message, Role, as_dict, from_dict
from fewfit.examples.sources import read
from fewfit.examples.table import Row, Table

__all__ = [
    "Dataset",
    "Example",
    "Message",
    "Role",
    "Row",
    "Table",
    "as_dict",
    "digest",
    "from_dict",
    "load",
    "read",
    "restore",
    "save",
]
