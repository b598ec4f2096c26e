"""Which tests are slow, by measurement: ``slow.txt``."""

from pathlib import Path


def read_slow_tests() -> dict[str, float]:
    """Seconds of the tests in ``slow.txt``, by path and function."""
    lines = (Path(__file__).parent / "slow.txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {name: float(seconds) for seconds, name in rows}
