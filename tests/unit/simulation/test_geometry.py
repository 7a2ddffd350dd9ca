"""The geometry of the simulated cells."""

from ssp_model.simulation.geometry import Grid, grow_sheet


def test_sheet_keeps_structures_apart() -> None:
    sheet = grow_sheet(Grid((24, 128, 128), (0.29, 0.10833, 0.10833), (3,)))

    nucleus, nucleolus = sheet.nucleus < 0, sheet.nucleolus < 0
    assert 0.03 < nucleus.mean() < 0.6
    assert nucleolus.any()
    assert (nucleus | ~nucleolus).all()
    assert (sheet.border[nucleus] > 0.5).all()
    assert (sheet.surface[nucleus] > 0).all()
