"""Retrieval measures as trec_eval computes them (https://github.com/usnistgov/trec_eval).

Documents are ranked by score, equal scores by id with the greater first; a document that isn't
judged is not relevant; the mean is over the judged queries, one without results counting 0
(``trec_eval -c``). nDCG: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
techniques", ACM TOIS 2002, with the gain as judged (trec_eval's ``ndcg_cut``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Run = Mapping[str, Mapping[str, float]]
"""Query -> document -> score."""
Judgements = Mapping[str, Mapping[str, int]]
"""Query -> document -> grade; relevant from 1."""

MEASURES = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "map@100")


def measured(run: Run, judged: Judgements) -> dict[str, float]:
    """Each of :data:`MEASURES`, over the queries that have a relevant document."""
    asked = [query for query, grades in judged.items() if any(g > 0 for g in grades.values())]
    each = [_of_query(order(run.get(query, {})), judged[query]) for query in asked]
    return {name: sum(one[name] for one in each) / max(1, len(each)) for name in MEASURES}


def order(scores: Mapping[str, float]) -> list[str]:
    """Documents as trec_eval ranks them."""
    return sorted(scores, key=lambda document: (scores[document], document), reverse=True)


def _of_query(ranked: Sequence[str], grades: Mapping[str, int]) -> dict[str, float]:
    gains = [max(0, grades.get(document, 0)) for document in ranked]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    first = next((rank for rank, gain in enumerate(gains[:10], start=1) if gain), 0)
    return {
        "ndcg@10": _dcg(gains[:10]) / _dcg(ideal[:10]),
        "recall@10": sum(gain > 0 for gain in gains[:10]) / len(ideal),
        "recall@100": sum(gain > 0 for gain in gains[:100]) / len(ideal),
        "mrr@10": 1.0 / first if first else 0.0,
        "map@100": _precisions(gains[:100]) / len(ideal),
    }


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _precisions(gains: Sequence[int]) -> float:
    """The sum of the precision at each relevant document."""
    found = total = 0.0
    for rank, gain in enumerate(gains, start=1):
        if gain:
            found += 1
            total += found / rank
    return total
