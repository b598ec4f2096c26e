"""A hospital under NVFLARE's simulator, in the form of its client scripts: ``nvflare_client.py WORK``."""

from __future__ import annotations

import sys
from pathlib import Path

from nvflare import client as flare
from nvflare.app_common.abstract.fl_model import FLModel

from experiments.peers.work import Work


def main(folder: str) -> None:
    """Train whenever the server asks."""
    work = Work(Path(folder))
    flare.init()
    hospital = int(flare.get_site_name().removeprefix("site-")) - 1
    while flare.is_running():
        asked = flare.receive()
        if asked is None:
            break
        trained = work.train(asked.params["model"], hospital, asked.current_round + 1)
        flare.send(FLModel(params={"model": trained}))


if __name__ == "__main__":
    main(sys.argv[1])
