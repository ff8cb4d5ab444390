from __future__ import annotations

from hypothesis import settings

# On a shared machine any example may take longer than Hypothesis' 200 ms; nothing here is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
