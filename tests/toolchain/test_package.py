"""The packages as others see them: typed, and every public name is there."""

import importlib
import importlib.resources

import pytest

import sanp


@pytest.mark.parametrize("name", ["sanp", "sanp_export", "sanp_runtime", "sanp_targets"])
def test_packages_are_marked_as_typed(name):
    assert importlib.resources.files(importlib.import_module(name)).joinpath("py.typed").is_file()


def test_public_names_exist():
    for name in sanp.__all__:
        assert callable(getattr(sanp, name)), name
    with pytest.raises(AttributeError, match="expected one of"):
        sanp.nonsense  # noqa: B018
