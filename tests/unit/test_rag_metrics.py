"""goni_rag.metrics against values computed by hand, and trec_eval's conventions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goni_rag.metrics import MEASURES, measured, order

JUDGED = {"q": {"a": 2, "b": 1, "c": 0, "d": 1}}


def test_a_ranking_measured_by_hand():
    found = measured({"q": {"c": 9.0, "a": 8.0, "x": 7.0, "b": 6.0}}, JUDGED)
    gain = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg@10"] == pytest.approx(gain / ideal)
    assert found["recall@10"] == found["recall@100"] == pytest.approx(2 / 3)
    assert found["mrr@10"] == 0.5
    assert found["map@100"] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_ranks_beyond_the_cut_do_not_count():
    run = {"q": {f"x{n}": 100.0 - n for n in range(10)} | {"a": 1.0}}
    found = measured(run, JUDGED)
    assert (found["ndcg@10"], found["recall@10"], found["mrr@10"]) == (0, 0, 0)
    assert found["recall@100"] == pytest.approx(1 / 3)
    assert found["map@100"] == pytest.approx(1 / 11 / 3)


def test_equal_scores_are_ordered_by_id_the_greater_first():
    assert order({"a": 1.0, "c": 1.0, "b": 2.0}) == ["b", "c", "a"]


def test_a_judged_query_without_results_counts_as_nothing():
    judged = {"q": {"a": 1}, "r": {"a": 1}}
    assert measured({"q": {"a": 1.0}}, judged)["ndcg@10"] == 0.5


def test_queries_without_a_relevant_document_do_not_count():
    assert measured({"q": {"a": 1.0}}, {"q": {"a": 1}, "r": {"a": 0}})["map@100"] == 1.0


@given(st.dictionaries(st.text(max_size=3), st.integers(-1, 3), max_size=8), st.data())
def test_the_ideal_ranking_measures_one_and_none_more(grades, data):
    scores = data.draw(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
    relevant = any(grade > 0 for grade in grades.values())
    found = measured({"q": scores}, {"q": grades})
    assert all(0 <= found[name] <= 1 + 1e-9 for name in MEASURES)
    best = measured({"q": {name: float(grade) for name, grade in grades.items()}}, {"q": grades})
    assert best["ndcg@10"] == pytest.approx(1.0 if relevant else 0.0)
