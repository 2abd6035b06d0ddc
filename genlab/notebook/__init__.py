"""GenLab from a notebook or a script: ``from genlab import connect``. No torch at import time.

Knows no page. `local` draws in this process, `remote` asks a GenLab that runs somewhere.
"""

from genlab.notebook.connect import connect
from genlab.notebook.lab import Lab
from genlab.notebook.pictures import Pictures

__all__ = ["Lab", "Pictures", "connect"]
