"""The bounds of docs/secure-aggregation.md: what two chains gain, tried exhaustively, and degrees of graphs.

``python experiments/masking_bounds.py`` prints the tables in about a minute. Nothing here is part of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import comb

from fedcxr.terminal import say

Answer = frozenset[int] | None  # the set that a hospital answered for; None: it answered nothing


def fewest_revealed(n: int, c: int, least: int, threshold: int) -> int:
    """The fewest honest summands of any sum that a coordinator with c hospitals can get in one attempt.

    Every combination of answers is tried: each honest hospital answers for one set, of at least ``least``
    members and with itself in it, or not at all. Hospitals 0 to c-1 collude.

    Args:
        n: participants of a complete graph.
        c: that collude with the coordinator.
        least: the smallest set that a hospital answers for.
        threshold: shares that give a self-mask's seed, of the n-1 neighbours'.
    """
    honest = range(c, n)
    fewest = n - c
    for answers in product(*(list(_answers(range(n), j, least)) for j in honest)):
        revealed = _revealed(dict(zip(honest, answers, strict=True)), c, threshold)
        fewest = min([fewest, *map(len, revealed)])
    return fewest


def sums_that_differ(n: int, c: int, left: int, newcomers: int, *, everyone: bool) -> tuple[int, int]:
    """Pairs of sums, of two attempts at one round, that have an update in common; and those that differ.

    The attempts have the page's numbers. Some hospitals may have sent nothing in the first; all participants
    do in the second. Colluders state whatever serves them, to each hospital something else.

    Args:
        n: participants of the first attempt.
        c: that collude; as many as are allowed for.
        left: honest participants of the first who are not asked in the second.
        newcomers: honest participants of the second who were not asked in the first.
        everyone: whether a hospital looks at every member's past, as rule 5 says, or at its own alone.
    """
    least, threshold = numbers(n, c)
    later_least, later_threshold = numbers(n - left + newcomers, c)
    found = differ = 0
    for first in _with_a_sum(n, c, least, threshold):
        revealed = _revealed(first, c, threshold)
        for asked in combinations(range(c, n), n - c - left):
            later = [*asked, *range(n, n + newcomers)]
            allowed = [
                [
                    answer
                    for answer in _answers([*range(c), *later], j, later_least)
                    if answer is None or _consistent(first, answer, j, (n, c, threshold), everyone)
                ]
                for j in later
            ]
            for second in product(*allowed):
                for part in _revealed(dict(zip(later, second, strict=True)), c, later_threshold):
                    touched = [other for other in revealed if other & part]
                    found += len(touched)
                    differ += sum(1 for other in touched if other != part)
    return found, differ


def _with_a_sum(n: int, c: int, least: int, threshold: int) -> Iterator[dict[int, Answer]]:
    """Answers of those who sent a vector, for all choices of them, wherever some sum follows."""
    for size in range(max(1, least - c), n - c + 1):
        for senders in combinations(range(c, n), size):
            for answers in product(*(list(_answers([*range(c), *senders], j, least)) for j in senders)):
                first = dict(zip(senders, answers, strict=True))
                if _revealed(first, c, threshold):
                    yield first


def numbers(n: int, c: int) -> tuple[int, int]:
    """The page's m and t of a complete graph."""
    least = max(3, -(-(n + c + 2) // 2))
    return least, n + c + 1 - least


def _consistent(
    first: dict[int, Answer], answer: frozenset[int], own: int, of: tuple[int, int, int], everyone: bool
) -> bool:
    """Rule 5 for one hospital: nobody colluding says anything that would hinder it."""
    n, c, threshold = of
    looked_at = answer & first.keys() if everyone else {own} & first.keys()
    if not looked_at:
        return True
    stated = all(first[j] in (None, answer) for j in answer & first.keys())
    return stated and len(answer & set(range(n))) - 1 >= n + c - threshold


def _revealed(said: dict[int, Answer], c: int, threshold: int) -> list[set[int]]:
    lifted = {u for u in said if c + _accepting(said, u) >= threshold}
    return [part for part in _components(said) if part <= lifted]


def _answers(members: Sequence[int], j: int, least: int) -> Iterator[Answer]:
    yield None
    others = [i for i in members if i != j]
    for size in range(least - 1, len(members)):
        yield from (frozenset({j, *chosen}) for chosen in combinations(others, size))


def _accepting(said: dict[int, Answer], u: int) -> int:
    return sum(1 for j, answer in said.items() if j != u and answer is not None and u in answer)


def _components(said: dict[int, Answer]) -> list[set[int]]:
    """Honest hospitals that edges with an unknown seed hold together."""
    left, parts = set(said), list[set[int]]()
    while left:
        part, edge = set[int](), {left.pop()}
        while edge:
            one = edge.pop()
            part.add(one)
            near = {i for i in left if not (_opens(said, one, i) or _opens(said, i, one))}
            left -= near
            edge |= near
        parts.append(part)
    return parts


def _opens(said: dict[int, Answer], u: int, i: int) -> bool:
    answer = said[u]
    return answer is not None and i not in answer


def most(marked: int, others: int, drawn: int, error: float) -> int:
    """The least x with P(more than x marked among the drawn) <= error, drawn of ``others`` without return."""
    above, whole = 0, comb(others, drawn)
    for x in range(min(marked, drawn), -1, -1):
        above += comb(marked, x) * comb(others - marked, drawn - x)
        if above > error * whole:
            return x
    return 0


def degree(n: int, corrupt: float, dropped: float, error: float) -> tuple[int, int, int] | None:
    """The least even degree of a ring graph, with its threshold and least set; None: the graph is complete.

    The conditions are those of the page: enough neighbours answer though so many are missing; t + m is at
    least k + c + 2; and every half neighbourhood of the ring has more members than can be corrupt.
    """
    each = error / (4 * n)
    bad, gone = int(corrupt * n), int(dropped * n)
    for k in range(6, n - 1, 2):
        c, d = most(bad, n - 1, k, each), most(gone, n - 1, k, each)
        cw, dw = most(bad, n - 1, k // 2, each), most(gone, n - 1, k // 2, each)
        if k >= 2 * d + c + 2 and k // 2 >= dw + cw + 1:
            return k, d + c + 2, k - d
    return None


def main() -> None:
    """Print the tables."""
    say("| n | c | m | t | bound t+m-n-c+1 | fewest found |")
    say("|---|---|---|---|---|---|")
    for n in (3, 4, 5):
        for c in range(n - 1):
            for least in range(max(2, (n + 1) // 2), n + 1):
                for threshold in range(c + 1, n):
                    bound = max(1, threshold + least - n - c + 1)
                    found = fewest_revealed(n, c, least, threshold)
                    assert found >= min(bound, n - c), (n, c, least, threshold, found, bound)
                    say(f"| {n} | {c} | {least} | {threshold} | {bound} | {found} |")
    say("")
    say("| n | c | left out | newcomers | looks at | pairs of sums with an update in common | that differ |")
    say("|---|---|---|---|---|---|---|")
    for n, c, left, newcomers in ((4, 0, 0, 0), (4, 0, 2, 2), (5, 1, 0, 0), (5, 1, 2, 2), (6, 1, 1, 1)):
        for everyone in (True, False):
            found, differ = sums_that_differ(n, c, left, newcomers, everyone=everyone)
            whose = "everyone's past" if everyone else "its own"
            say(f"| {n} | {c} | {left} | {newcomers} | {whose} | {found} | {differ} |")
    for bits in (40, 80):
        say("")
        say(f"| n | corrupt | dropped | k (error 2^-{bits}) | t | m |")
        say("|---|---|---|---|---|---|")
        for n, corrupt, dropped in product((64, 100, 256, 1000), (0.05, 0.1, 0.2), (0.05, 0.1, 0.3)):
            found_degree = degree(n, corrupt, dropped, 2.0**-bits)
            said = "complete | | " if found_degree is None else " | ".join(map(str, found_degree))
            say(f"| {n} | {corrupt:.0%} | {dropped:.0%} | {said} |")


if __name__ == "__main__":
    main()
