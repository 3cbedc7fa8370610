"""What sets clusters apart, on data where the answer was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal.judge.contrasts import Column, Contrasts, _best_split, _leaves, columns_of, contrasts, keywords

LABELS = np.repeat([0, 1, 2], [50, 100, 150])


def planted() -> list[Column]:
    rng = np.random.default_rng(0)
    return [Column("age", None, rng.normal(40, 10, 300) + 30 * (LABELS == 1)), Column("noise", None, rng.normal(size=300)),
            Column("constant", None, np.full(300, 0.1)), Column("income", None, rng.uniform(0, 2, 300) + 2 * (LABELS == 2)),
            *columns_of("city", [["Rome", "Oslo", "Bonn"][c] if i % 10 else None for i, c in enumerate(LABELS)])]


def found(columns: list[Column] | None = None, top: int = 3, **options: Any) -> Contrasts:
    return contrasts(columns or planted(), LABELS, 3, options.get("weights", np.ones(300)), top)


def test_planted_differences_come_first() -> None:
    first = {c: [(r.feature, r.level) for r in found().rows if r.cluster == c] for c in range(3)}
    assert first[0][0] == ("city", "Rome")
    assert first[1][0] == ("city", "Oslo")
    assert ("age", None) in first[1]
    assert first[2][0] == ("city", "Bonn")
    assert first[2][1] == ("income", None)
    assert all(len(rows) == 3 for rows in first.values())
    assert not {"noise", "constant"} & {r.feature for r in found().rows}


def test_a_difference_is_cohens_and_f_is_scipys() -> None:
    from scipy.stats import f_oneway

    age = planted()[0].values
    row = next(r for r in found().rows if r.feature == "age" and r.cluster == 1)
    inside, outside = age[LABELS == 1], age[LABELS != 1]
    assert row.inside == pytest.approx(inside.mean())
    assert row.outside == pytest.approx(outside.mean())
    assert row.difference == pytest.approx((inside.mean() - outside.mean()) / np.sqrt((inside.var() + outside.var()) / 2))
    assert pytest.approx(f_oneway(*(age[c == LABELS] for c in range(3))).statistic) == row.F


def test_missing_values_are_left_out_and_weights_repeat_items() -> None:
    columns = planted()[:2]
    holes = columns[0].values.copy()
    holes[::7] = np.nan
    row = next(r for r in found([Column("age", None, holes), columns[1]]).rows if r.feature == "age" and r.cluster == 1)
    assert row.inside == pytest.approx(np.nanmean(holes[LABELS == 1]))
    times = np.random.default_rng(1).integers(1, 4, 300)
    repeated = [Column(c.name, c.level, np.repeat(c.values, times)) for c in columns]
    one = contrasts(columns, LABELS, 3, times.astype(float), 5).rows
    other = contrasts(repeated, np.repeat(LABELS, times), 3, np.ones(times.sum()), 5).rows
    for a, b in zip(one, other, strict=True):
        assert a[:3] == b[:3]
        assert a[3:] == pytest.approx(b[3:])


def test_rules_pick_their_clusters_out() -> None:
    rules = {rule.cluster: rule for rule in found().rules}
    assert rules[2].text == "income > 2"
    assert (rules[2].precision, rules[2].coverage) == (1.0, 1.0)
    assert rules[0].text.startswith("city = Rome")
    assert rules[0].precision == 1.0
    assert rules[0].coverage == pytest.approx(0.9)
    assert "age" in repr(found())


def test_a_rule_holds_what_it_says() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=(2, 400))
    labels = ((x > 0.3) & (x < 0.6) & (y > 0.5)).astype(int)
    rule = contrasts([Column("x", None, x), Column("y", None, y)], labels, 2, np.ones(400), 2).rules[1]
    low, middle, high = (part.strip() for part in rule.text.split(" and ")[0].replace("≤", "<").split("<"))
    meets = (x > float(low)) & (x <= float(high)) & (y > float(rule.text.split("> ")[1]))
    assert middle == "x"
    assert rule.precision == pytest.approx(labels[meets].mean())
    assert rule.coverage == pytest.approx(meets[labels == 1].mean())
    assert len(low) < 7


def test_nothing_differs() -> None:
    same = contrasts([Column("constant", None, np.full(300, 0.1))], LABELS, 3, np.ones(300), 5)
    assert same.rows == ()
    assert {rule.text for rule in same.rules} == {"all items"}
    parted = contrasts([Column("x", None, (LABELS == 1) * 1.0)], LABELS, 3, np.ones(300), 5)
    assert parted.rows[1].difference == np.inf
    assert np.isinf(parted.rows[0].F) or np.isnan(parted.rows[0].F)


def test_noise_is_among_the_others() -> None:
    labels = np.where(LABELS == 2, -1, LABELS)
    row = next(r for r in contrasts(planted(), labels, 2, np.ones(300), 9).rows if r.feature == "age" and r.cluster == 1)
    assert row.outside == pytest.approx(planted()[0].values[LABELS != 1].mean())


def test_planted_terms() -> None:
    rng = np.random.default_rng(0)
    terms = rng.poisson(0.5, (300, 40))
    for c, t in ((0, 3), (1, 7), (1, 8), (2, 20)):
        terms[c == LABELS, t] += rng.poisson(2.0, int((c == LABELS).sum()))
    terms[:, 39] += 5  # a word of every text
    names = [f"word {t}" for t in range(40)]
    rows = keywords(terms, names, LABELS, 3, 2)
    best = {c: [r.term for r in rows if r.cluster == c] for c in range(3)}
    assert best[0][0] == "word 3"
    assert set(best[1]) == {"word 7", "word 8"}
    assert best[2][0] == "word 20"
    one = rows[0]
    inside = terms[LABELS == 0]
    tf = inside[:, 3].sum() / inside.sum()
    assert one.score == pytest.approx(tf * np.log(tf / (terms[:, 3].sum() / terms.sum())))
    assert one.inside == pytest.approx((inside[:, 3] > 0).mean())
    assert one.outside == pytest.approx((terms[LABELS != 0][:, 3] > 0).mean())


def test_terms_that_nobody_has() -> None:
    from scipy import sparse

    terms = sparse.csr_array(np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]))
    rows = keywords(terms, ["a", "b"], np.array([0, 1, -1]), 2, 5)
    assert rows == ()  # one cluster has all: nothing tells it from the whole
    rows = keywords(np.array([[1.0, 0.0], [0.0, 3.0]]), ["a", "b"], np.array([0, 1]), 2, 5)
    assert [(r.cluster, r.term) for r in rows] == [(0, "a"), (1, "b")]


def test_splits_are_as_good_as_those_of_scikit_learn() -> None:
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)

    def impurity(left: Any, inside: Any, mass: Any) -> float:
        return sum(2.0 * a * b / (a + b) for a, b in ((mass[side & inside].sum(), mass[side & ~inside].sum())
                                                      for side in (left, ~left)))

    for _ in range(20):
        X = rng.integers(12, size=(60, 4)).astype(float)
        inside = X[:, 0] + 3 * rng.normal(size=60) > 6
        mass = 1.0 / np.where(inside, inside.sum(), (~inside).sum())
        peer = DecisionTreeClassifier(max_depth=1, class_weight="balanced", random_state=0).fit(X, inside).tree_
        j, cut = _best_split(X, inside, mass)  # type: ignore[misc]
        best = impurity(X[:, peer.feature[0]] <= peer.threshold[0], inside, mass)
        assert impurity(X[:, j] <= cut, inside, mass) == pytest.approx(best, rel=1e-9)


def test_leaves_part_the_items() -> None:
    X = np.random.default_rng(1).normal(size=(80, 3))
    leaves = _leaves(X, X[:, 0] + X[:, 1] ** 2 > 1, np.ones(80))
    inside = [np.all([(X[:, j] > low) & (X[:, j] <= high) for j, (low, high) in limits.items()], axis=0)
              for limits in leaves]
    assert 2 < len(leaves) <= 8
    assert (np.sum(inside, axis=0) == 1).all()
