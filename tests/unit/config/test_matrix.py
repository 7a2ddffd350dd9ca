"""The experiments of the benchmark."""

from collections import Counter

import pytest

from ssp_model.config.ablations import ABLATIONS
from ssp_model.config.matrix import INCREMENTAL, TRAINED_ALONE, check_matrix, matrix, own_experiment, title_of
from ssp_model.config.read import parse_config
from ssp_model.errors import InputError
from ssp_model.models.model_file import make_network
from ssp_model.nn.methods import METHODS, method_class


@pytest.fixture
def values(config_values):
    return config_values | {
        "experiment": "trial",
        "structures": ["tom20", "zo1"],
        "model": {"method": "dodnet", "width": 4},
    }


def cells_of(values, **benchmark):
    settings = values | {"benchmark": {"methods": [], "ablations": [], "increments": [], "kernel": 3} | benchmark}
    return {cell.name.removeprefix("trial-"): cell for cell in matrix(parse_config(settings))}


def test_all_methods_ablations_and_increments_by_default(config_values):
    cells = matrix(parse_config(config_values))
    assert Counter(cell.kind for cell in cells) == {
        "method": len(METHODS),
        "ablation": len(ABLATIONS),
        "increment": 2 * 2 * len(INCREMENTAL),
    }
    assert len({cell.name for cell in cells}) == len(cells)
    assert [cell.name for cell in cells][:2] == ["repmode-repmode", "repmode-multi_net"]


def test_what_is_known_of_methods_without_their_networks():
    assert set(TRAINED_ALONE) == {name for name in METHODS if method_class(name).alone}
    assert {name: title_of(name) for name in METHODS} == {name: method_class(name).title for name in METHODS}


@pytest.mark.parametrize("method", INCREMENTAL)
def test_incremental_methods_can_be_extended(method):
    network = make_network(method, 2, {"width": 1})
    network.extend()
    assert network.num_tasks == 3


def test_methods_have_the_width_of_the_config_and_the_kernel_of_the_benchmark(values):
    cells = cells_of(values, methods=["repmode", "condnet"])
    assert list(cells) == ["repmode", "condnet"]
    assert (cells["condnet"].model.width, cells["condnet"].model.kernel) == (4, 3)
    assert cells["repmode"].model.width == 4
    assert (cells["condnet"].structures, cells["condnet"].scored, cells["condnet"].extends) == (None, None, None)


def test_ablations_are_repmode_with_other_settings(values):
    cells = cells_of(values, ablations=["sigmoid_gate"])
    (cell,) = cells.values()
    assert list(cells) == ["repmode_sigmoid_gate"]
    assert (
        cell.model.model_dump().items()
        >= {"method": "repmode", "width": 4, **ABLATIONS["sigmoid_gate"].settings}.items()
    )
    assert cell.published == ABLATIONS["sigmoid_gate"].published


def test_increments_are_pairs(values):
    cells = cells_of(values, increments=["zo1"])
    assert list(cells) == [f"{method}_{step}_zo1" for method in INCREMENTAL for step in ("without", "extended")]
    for method in INCREMENTAL:
        before, after = cells[f"{method}_without_zo1"], cells[f"{method}_extended_zo1"]
        assert before.structures == ("dna", "tom20")
        assert before.scored == ()
        assert after.structures == after.scored == ("zo1",)
        assert after.extends == before.name
        assert after.model == before.model


def test_increments_that_are_no_structures_are_refused_when_the_benchmark_is_wanted(values):
    settings = values | {"benchmark": values["benchmark"] | {"increments": ["golgi"]}}
    config = parse_config(settings)
    assert not [cell for cell in matrix(config) if cell.kind == "increment"]
    with pytest.raises(InputError, match="lists golgi, but the structures are dna, tom20, zo1; correct"):
        check_matrix(config)
    check_matrix(parse_config(values | {"benchmark": values["benchmark"] | {"increments": []}}))


def test_the_own_experiment(values):
    own = own_experiment(parse_config(values))
    assert (own.name, own.kind, own.model.method, own.is_trained_alone) == ("trial", "own", "dodnet", False)
