import matplotlib as mpl
import numpy as np
import pytest
import scipy.sparse
import scipy.spatial
import scipy.spatial.distance
from hypothesis import given
from hypothesis import strategies as st

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.colors import to_hex

from shoal.errors import InputError
from shoal.plot.figures import figure_bytes
from shoal.plot.palette import NOISE, color
from shoal.plot.plane import mds
from shoal.plot.scatter import _plane, hull, scatter


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def blobs(n=90, d=5, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 3, n)
    return rng.normal(size=(n, d)) + 4 * rng.normal(size=(3, d))[numbers], numbers


def test_two_features_are_drawn_as_they_are():
    X, numbers = blobs(d=2)
    numbers[:4] = -1
    ax = scatter(X, numbers, columns=["$wide", "tall_"])
    noise, clusters = ax.collections
    assert np.array_equal(noise.get_offsets(), X[:4])
    assert np.array_equal(clusters.get_offsets(), X[4:])
    assert [to_hex(c) for c in clusters.get_facecolors()] == [color(c) for c in numbers[4:].tolist()]
    assert to_hex(noise.get_edgecolors()[0]) == NOISE
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$wide", "tall_")
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == [*(f"{c}  ({(numbers == c).sum()})" for c in range(3)), "noise  (4)"]
    assert figure_bytes(ax, "svg")


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (3, 3), (1, 4), (2, 9)])
def test_components_of_dense_and_sparse_agree_with_svd(shape):
    X = np.random.default_rng(1).normal(size=shape) * np.arange(1, shape[1] + 1)
    u, s, v = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    sign = np.where(v[np.arange(len(v)), np.argmax(np.abs(v), axis=1)] < 0, -1, 1)
    wanted = np.pad(u * s * sign, ((0, 0), (0, 2)))[:, :2]
    known = np.pad(s, (0, 2))[:2] > 1e-9 * s.max()  # the sign of an axis without variance means nothing
    for carried in (X, scipy.sparse.csr_array(X)):
        scores, names = _plane(carried, None, scipy.sparse.issparse(carried))
        assert scores[:, known] == pytest.approx(wanted[:, known], abs=1e-7 * max(s.max(), 1))
        assert scores[:, ~known] == pytest.approx(0, abs=1e-6 * max(s.max(), 1))
        if s.max() > 0:
            assert names[0] == f"PC 1 ({s[0] ** 2 / (s**2).sum() * 100:.0f} % of variance)"


def test_sparse_rows_without_variance_or_of_rank_one():
    alike = scipy.sparse.csr_array(np.tile([0.1, 0.0, 0.3, 0.7, 0.0], (30, 1)))
    assert np.array_equal(_plane(alike, None, True)[0], np.zeros((30, 2)))
    line = scipy.sparse.csr_array(np.outer(np.arange(30.0), [1, 0, 2, 0, 3]))
    scores, names = _plane(line, None, True)
    assert names == ["PC 1 (100 % of variance)", "PC 2 (0 % of variance)"]
    assert scores[:, 1] == pytest.approx(0, abs=1e-6)


def test_one_feature_is_a_strip_and_the_same_every_time():
    X, numbers = blobs(d=1)
    first, second = scatter(X, numbers, columns=["size"]), scatter(X, numbers, columns=["size"])
    assert np.array_equal(first.collections[0].get_offsets(), second.collections[0].get_offsets())
    assert np.array_equal(first.collections[0].get_offsets()[:, 0], X[:, 0])
    assert len(first.get_yticks()) == 0


def test_long_legends_are_cut_short():
    ax = scatter(np.arange(80.0).reshape(40, 2), np.arange(40) - 1)
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(entries) == 22
    assert entries[-2:] == ["… and 19 more", "noise  (1)"]


def test_names_are_written_for_few_items():
    X, numbers = blobs(30)
    ids = [f"item_{i}" for i in range(30)]
    ax = scatter(X, numbers, ids=ids)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 20
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    left_out = 30 - len(boxes)
    assert ax.get_title(loc="right") == (f"{left_out} of 30 names found no room." if left_out else "")
    assert not scatter(X, numbers, ids=ids, annotate=False).texts
    assert not scatter(*blobs(90)).texts


def test_many_points_are_rasterised():
    X, numbers = blobs(20_001, 2)
    assert scatter(X, numbers).collections[0].get_rasterized()
    assert not scatter(X[:100], numbers[:100]).collections[0].get_rasterized()


def test_input_is_not_written_to():
    X, numbers = blobs()
    before = X.copy()
    X.setflags(write=False)
    scatter(X, numbers, ax=mpl.figure.Figure().subplots())
    assert np.array_equal(X, before)


def test_refusals():
    X, numbers = blobs(10, 2)
    with pytest.raises(InputError, match="9 labels were given for 10 items"):
        scatter(X, numbers[:9])
    with pytest.raises(InputError, match="3 columns"):
        scatter(X, numbers, columns=["a", "b", "c"])
    with pytest.raises(InputError, match=r"shape \(10,\)"):
        scatter(X[:, 0], numbers)


def on_hull(points, corners):
    """Whether all points are inside or on the counter-clockwise corners, up to rounding."""
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ((bx - ax) * (points[:, 1] - ay) - (by - ay) * (points[:, 0] - ax) < -1e-9).any():
            return False
    return True


@given(st.integers(1, 60), st.integers(0, 1000), st.sampled_from([1, 3, 1000]))
def test_hulls_hold_all_points_and_have_no_corner_too_many(m, seed, grid):
    points = np.random.default_rng(seed).integers(-grid, grid + 1, (m, 2)).astype(float)
    corners = hull(points)
    assert {tuple(c) for c in corners.tolist()} <= {tuple(p) for p in points.tolist()}
    if len(corners) > 2:
        assert on_hull(points, corners)
        reference = scipy.spatial.ConvexHull(points)
        assert sorted(map(tuple, corners.tolist())) == sorted(map(tuple, points[reference.vertices].tolist()))
    else:
        assert np.linalg.matrix_rank(points - points[0]) == len(corners) - 1


def test_hulls_are_one_artist_and_noise_has_none():
    X = np.array([[0, 0], [1, 0], [0, 1], [5, 5], [6, 6], [7, 7], [9, 9], [3, 3.0]])
    ax = scatter(X, [0, 0, 0, 1, 1, 1, 2, -1], hulls=True)
    shapes = ax.collections[0]
    assert [len(np.unique(path.vertices, axis=0)) for path in shapes.get_paths()] == [3, 2, 1]
    assert [to_hex(ink) for ink in shapes.get_facecolors()] == [color(c) for c in range(3)]
    assert figure_bytes(ax)


def test_mds_finds_points_in_the_plane_again():
    X = np.random.default_rng(0).normal(size=(60, 2)) * [3, 1]
    D = np.linalg.norm(X[:, None] - X, axis=-1)
    flat = mds(D)
    assert np.linalg.norm(flat[:, None] - flat, axis=-1) == pytest.approx(D, abs=1e-9)
    assert np.var(flat[:, 0]) > np.var(flat[:, 1])
    assert np.array_equal(mds(lambda items: D[items], 60), flat)


def test_mds_by_landmarks_finds_points_in_the_plane_again():
    X = np.random.default_rng(1).normal(size=(2100, 2)) * [3, 1]
    flat = mds(lambda items: scipy.spatial.distance.cdist(X[items], X), len(X))
    some = np.arange(0, 2100, 50)
    wanted = np.linalg.norm(X[some][:, None] - X[some], axis=-1)
    assert np.linalg.norm(flat[some][:, None] - flat[some], axis=-1) == pytest.approx(wanted, abs=1e-8)


def test_mds_of_few_items_and_of_no_distance():
    assert mds([[0.0]]).tolist() == [[0.0, 0.0]]
    assert mds(np.zeros((3, 3))).tolist() == [[0.0, 0.0]] * 3
    assert np.ptp(mds([[0, 2], [2, 0]])[:, 0]) == pytest.approx(2)
    with pytest.raises(InputError, match="square"):
        mds([[0, 1]])
    with pytest.raises(InputError, match="finite"):
        mds([[0, np.inf], [np.inf, 0]])


def test_both_backgrounds():
    X, numbers = blobs(20, 2)
    with pyplot.style.context("dark_background"):
        ax = scatter(X, numbers, ids=range(20), hulls=True)
    assert {to_hex(text.get_color()) for text in ax.texts} == {"#e6e6e6"}
    assert to_hex(ax.get_legend().get_title().get_color()) == "#e6e6e6"
    assert to_hex(ax.xaxis.label.get_color()) == "#e6e6e6"
