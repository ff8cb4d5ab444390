"""``torch.utils.benchmark`` on ``session.run``."""

from __future__ import annotations

import json

from torch.utils.benchmark import Timer

from benchmarks.subjects.digits_session import image, session


def main() -> None:
    timer = Timer("session.run(None, feed)", globals={"session": session(), "feed": {"image": image()}})
    print(json.dumps({"median": timer.blocked_autorange(min_run_time=0.5).median}))


if __name__ == "__main__":
    main()
