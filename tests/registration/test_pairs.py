"""Pairs to register: known transforms, fixed by seed and number alone."""

import numpy as np
import pytest
import torch

import pairs
import rigid
from samplenet import InputError
from samplenet.data import modelnet40, shapes
from samplenet.normalisation import box_side

CLOUDS = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)


def matrix_of(quaternion):
    return rigid.to_matrix(torch.from_numpy(quaternion)).numpy()


def moved(made):
    """The templates by the transforms the pairs state."""
    return made.template @ np.swapaxes(matrix_of(made.quaternion), 1, 2) + made.translation[:, None]


@pytest.mark.parametrize("translation", [False, True])
def test_the_transform_moves_the_template_onto_the_source(translation):
    made = pairs.make(CLOUDS, 20, 10, seed=0, translation=translation)
    assert made.template.shape == made.source.shape == (10, 20, 3)
    assert {array.dtype for array in made} == {np.dtype(np.float32)}
    np.testing.assert_allclose(moved(made), made.source, atol=1e-6)
    assert (made.translation != 0).all() == translation
    assert np.abs(made.translation).max() <= pairs.MAX_SHIFT


def test_rotations_fill_45_degrees_about_each_axis():
    r = matrix_of(pairs.make(CLOUDS, 5, 4000, seed=0).quaternion.astype(float))
    back = np.degrees(
        [
            np.arctan2(-r[:, 1, 2], r[:, 2, 2]),
            np.arcsin(r[:, 0, 2]),
            np.arctan2(-r[:, 0, 1], r[:, 0, 0]),
        ]
    )
    assert np.abs(back).max() < 45.001
    np.testing.assert_allclose(back.std(1), 90 / 12**0.5, rtol=0.03)  # of a uniform distribution
    np.testing.assert_allclose(np.corrcoef(back), np.eye(3), atol=0.05)


def test_clouds_have_their_longest_side_1_and_mean_0():
    made = pairs.make(5 + 3 * CLOUDS, 20, 3, seed=0)
    sides = made.template.max(1) - made.template.min(1)
    np.testing.assert_allclose(sides.max(1), 1, rtol=1e-5)
    np.testing.assert_allclose(made.template.mean(1), 0, atol=1e-6)
    one = pairs.make(CLOUDS[:, :1], 1, 2, seed=0)
    np.testing.assert_array_equal(one.source, np.zeros((2, 1, 3)))


@pytest.mark.parametrize("options", [{}, {"noise": 0.02, "translation": True, "independent": True}])
def test_a_pair_is_fixed_by_seed_and_number(options):
    whole = pairs.make(CLOUDS, 20, 9, seed=3, **options)
    again = pairs.make(CLOUDS, 20, 9, seed=3, **options)
    later = pairs.make(CLOUDS, 20, 3, seed=3, first=6, **options)
    for one, two, three in zip(whole, again, later, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[6:], three)
    other = pairs.make(CLOUDS, 20, 9, seed=4, **options)
    assert not np.isclose(whole.quaternion, other.quaternion).any()
    assert len(np.unique(whole.quaternion, axis=0)) == 9


def test_options_leave_the_rotations_alone():
    plain = pairs.make(CLOUDS, 20, 9, seed=3)
    for options in ({"noise": 0.1}, {"translation": True}, {"independent": True}):
        np.testing.assert_array_equal(
            pairs.make(CLOUDS, 20, 9, seed=3, **options).quaternion, plain.quaternion
        )


def test_noise_is_on_the_source_and_of_the_size_asked_for():
    plain, noisy = (pairs.make(CLOUDS, 40, 200, seed=0, noise=s) for s in (0.0, 0.03))
    np.testing.assert_array_equal(plain.template, noisy.template)
    assert (noisy.source - plain.source).std() == pytest.approx(0.03, rel=0.02)


def test_an_independent_source_has_other_points_of_the_same_cloud():
    made = pairs.make(CLOUDS, 15, 6, seed=0, independent=True)
    whole = box_side(CLOUDS, 15)
    for i in range(6):
        back = made.source[i] @ matrix_of(made.quaternion[i])
        near = np.linalg.norm(back[:, None] - whole[i % 3], axis=-1)
        assert near.min(1).max() < 1e-5  # a stored point each,
        assert near.argmin(1).min() >= 15  # none of the template's
        assert len(set(near.argmin(1))) == 15
    assert not np.array_equal(
        made.source[0] @ made.quaternion[0, 1:], made.source[3] @ made.quaternion[3, 1:]
    )
    with pytest.raises(InputError, match="clouds of 42 points, got clouds of shape"):
        pairs.make(CLOUDS, 21, 6, seed=0, independent=True)


def test_for_test_each_cloud_comes_five_times():
    made = pairs.for_test(CLOUDS, 20)
    assert len(made.template) == 15
    np.testing.assert_array_equal(made.template[:3], made.template[12:])
    np.testing.assert_array_equal(made.quaternion, pairs.make(CLOUDS, 20, 15, seed=1).quaternion)


def test_no_pairs_are_no_trouble():
    assert pairs.make(CLOUDS, 20, 0, seed=0, noise=0.1, independent=True).source.shape == (0, 20, 3)
    assert pairs.make(CLOUDS[:0], 20, 0, seed=0).template.shape == (0, 20, 3)
    with pytest.raises(
        InputError, match=r"pairs need clouds of 20 points, got clouds of shape \(0, 40, 3\)"
    ):
        pairs.make(CLOUDS[:0], 20, 1, seed=0)


def test_one_class_of_a_folder(shapes_folder):
    whole = modelnet40.load(shapes_folder, "train", 32)
    cars = pairs.load_class(shapes_folder, "car", "train", 32)
    np.testing.assert_array_equal(cars, whole.points[whole.labels == whole.names.index("car")])
    assert cars.shape == (3, 32, 3)


def test_built_in_clouds_are_those_of_the_data_set(shapes_folder):
    built_in = pairs.load_class(None, "car", "test", 64, 5)
    np.testing.assert_array_equal(built_in[0], shapes.generate("car", 0, split="test")[:64])
    assert built_in.shape == (2, 64, 3)
    stored = pairs.load_class(shapes_folder, "car", "test", 64)
    assert {a.tobytes() for a in stored} == {a.tobytes() for a in built_in}
    assert pairs.load_class(None, "car", "train", 3000, 1).shape == (1, 3000, 3)


def test_an_unknown_class_is_told_with_the_names_there_are(shapes_folder):
    for root in (None, shapes_folder):
        with pytest.raises(
            InputError, match="--class-name must be one of airplane, .*, car, .*; got 'cars'"
        ):
            pairs.load_class(root, "cars", "train", 32)
