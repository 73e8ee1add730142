"""The challenge's scores against hand-made cases and skimage."""

import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from scores.partitions import cells_after_thinning, cells_of_truth, close_gaps, v_info, v_rand


@pytest.fixture
def blocks():
    """Two labellings of 40x40 px that partly agree, without membranes."""
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(1, 6, (8, 8)), np.ones((5, 5), int))
    proposed = np.where(rng.random(truth.shape) < 0.2, rng.integers(1, 6, truth.shape), truth)
    return truth, proposed


def test_truth_against_itself_is_1(blocks):
    truth, _ = blocks
    assert v_rand(truth, truth) == pytest.approx(1) and v_info(truth, truth) == pytest.approx(1)


def test_halves_by_hand():
    """One true cell proposed as two halves: pairs together 1/2 of the time; and two true cells proposed as one."""
    one, two = np.ones((2, 4), int), np.array([[1, 1, 2, 2]] * 2)
    assert v_rand(one, two) == v_rand(two, one) == pytest.approx(0.5 / (0.5 * 1 + 0.5 * 0.5))
    assert v_info(one, two) == v_info(two, one) == 0
    assert v_info(one, one) == 1


def test_agreement_with_skimage(blocks):
    truth, proposed = blocks
    error = adapted_rand_error(truth, proposed)[0]
    # skimage takes the harmonic mean of pairs (n**2 - n); the challenge of squares (n**2).
    assert v_rand(truth, proposed) == pytest.approx(1 - error, abs=2e-3)
    split, merge = variation_of_information(truth, proposed)
    shares = [np.unique(labels, return_counts=True)[1] / truth.size for labels in (truth, proposed)]
    entropies = sum(-(share * np.log2(share)).sum() for share in shares)
    assert v_info(truth, proposed) == pytest.approx(1 - (split + merge) / entropies, abs=1e-9)


def test_only_the_truths_cells_count(blocks):
    truth, proposed = blocks
    truth, other = truth.copy(), proposed.copy()
    truth[:10], other[:10] = 0, 99
    assert v_rand(truth, proposed) == v_rand(truth, other)
    assert v_info(truth, proposed) == v_info(truth, other)


def test_membrane_pixels_inside_a_cell_are_cells_of_their_own():
    truth = np.ones((10, 10), int)
    proposed = truth.copy()
    proposed[0, :4] = 0
    squares = 0.96**2 + 4 * 0.01**2
    assert v_rand(truth, proposed) == pytest.approx(squares / (0.5 + 0.5 * squares))


def test_thinning_keeps_cells_apart_up_to_the_edge():
    membrane = np.zeros((60, 80), bool)
    membrane[:, 36:44] = True
    cells = cells_after_thinning(membrane)
    assert cells.max() == 2 and (cells == 0).sum() == 60
    assert cells[0, 0] != cells[0, -1]


def test_thick_and_thin_membranes_score_alike():
    truth = np.ones((60, 80), np.uint8)
    truth[:, 39:41] = 0
    for width in (2, 6, 10):
        membrane = np.zeros((60, 80), bool)
        membrane[:, 40 - width // 2 : 40 + width // 2] = True
        assert v_rand(cells_of_truth(truth), cells_after_thinning(membrane)) == pytest.approx(1, abs=0.02)


def test_cells_that_meet_at_a_corner_are_two():
    assert cells_of_truth(np.eye(2)).max() == 2


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="the truth holds no cell"):
        v_rand(np.zeros((4, 4), int), np.ones((4, 4), int))
    with pytest.raises(ValueError, match="they must be equal"):
        v_info(np.ones((4, 4), int), np.ones((4, 5), int))


def test_a_gap_in_a_membrane_is_closed_where_the_membrane_is_still_more_probable():
    membrane = np.zeros((40, 60), np.float32)
    membrane[:, 29:32] = 0.9
    membrane[16:24, 29:32] = 0.3
    assert cells_after_thinning(membrane > 0.5).max() == 1
    closed = close_gaps(membrane, 0.1)
    assert closed.shape == membrane.shape and closed.dtype == np.float32
    for threshold in (0.2, 0.5, 0.95):  # the line is there at every threshold
        assert cells_after_thinning(closed > threshold).max() == 2
    changed = np.argwhere(closed != membrane)
    assert (closed >= membrane).all() and set(changed[:, 1]) == {30}
    assert (close_gaps(membrane, 0.5) == membrane).all()


def test_no_gap_is_closed_where_there_is_no_membrane():
    even = np.full((20, 20), 0.25, np.float32)
    assert (close_gaps(even, 0.1) == even).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 3)])
def test_images_of_few_pixels(shape):
    assert cells_after_thinning(np.zeros(shape, bool)).tolist() == np.ones(shape, int).tolist()


def test_numbers_that_16_bits_cannot_hold(blocks):
    truth, proposed = blocks
    high = np.array([0, 1, 70_000, 2**31 - 2, 65_536, 2**31 - 1])
    assert v_rand(high[truth], high[proposed]) == v_rand(truth, proposed)
    assert v_info(high[truth], high[proposed]) == pytest.approx(v_info(truth, proposed))
