"""Random crops and colours of images."""

import pytest
import torch

HALF = 0.5  # of each random number: no change of colour, a crop in the middle


@pytest.fixture
def augmentation(scripts):
    return scripts.augmentation


def numbers(count, **changed):
    """Random numbers that leave an image as it is, but for those named."""
    places = ("area", "ratio", "x", "y", "mirror", "coloured", "brightness", "contrast")
    places = (*places, "saturation", "hue", "grey")
    values = torch.full((count, len(places)), HALF)
    values[:, [places.index("area"), places.index("mirror"), places.index("grey")]] = 0.999999
    for name, value in changed.items():
        values[:, places.index(name)] = value
    return values


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_numbers_in_the_middle_change_nothing(augmentation, images):
    kept = augmentation.augment(images, numbers(3))
    torch.testing.assert_close(kept, images, atol=1e-4, rtol=0)


def test_half_of_the_images_are_mirrored(augmentation, images):
    mirrored = augmentation.augment(images, numbers(3, mirror=0.4))
    torch.testing.assert_close(mirrored, images.flip(3), atol=1e-4, rtol=0)


def test_a_crop_is_enlarged(augmentation):
    ramp = torch.linspace(0, 1, 8).expand(1, 3, 8, 8)  # grows to the right
    # a quarter of the area, as a square, on the left: the first half of the ramp
    crop = augmentation.augment(ramp, numbers(1, area=0, x=0), least_area=0.25)
    torch.testing.assert_close(
        crop[0, 0, 0, [0, 7]], torch.tensor([0.0, 0.4643]), atol=1e-3, rtol=0
    )
    assert (crop[..., 1:] >= crop[..., :-1]).all()


def test_colours(augmentation, images):
    for name, value in (("brightness", 0), ("contrast", 0), ("saturation", 0), ("hue", 0)):
        changed = augmentation.augment(images, numbers(3, **{name: value}))
        assert not torch.allclose(changed, images, atol=1e-2), name
        untouched = augmentation.augment(images, numbers(3, coloured=0.9, **{name: value}))
        torch.testing.assert_close(untouched, images, atol=1e-4, rtol=0)
    dark = augmentation.augment(images, numbers(3, brightness=0))
    torch.testing.assert_close(dark, images * 0.6, atol=1e-4, rtol=0)
    # a turn of hue keeps the brightness of colours that stay within [0, 1]
    pale = 0.4 + 0.2 * images
    turned = augmentation.augment(pale, numbers(3, hue=1))
    luma = torch.tensor(augmentation.LUMA)
    brightness = [torch.einsum("ncij,c->nij", x, luma) for x in (turned, pale)]
    torch.testing.assert_close(*brightness, atol=1e-3, rtol=0)
    assert not torch.allclose(turned, pale, atol=1e-2)


def test_a_fifth_is_grey(augmentation, images):
    grey = augmentation.augment(images, numbers(3, grey=0.1))
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_an_image_does_not_depend_on_the_others(augmentation, images):
    drawn = torch.rand(3, augmentation.NUMBERS, generator=torch.Generator().manual_seed(1))
    whole = augmentation.augment(images, drawn)
    assert whole.min() >= 0 and whole.max() <= 1
    torch.testing.assert_close(augmentation.augment(images[1:2], drawn[1:2]), whole[1:2])
