"""How far from its definition does each cell of the sampler table end?

    python benchmarks/samplers.py [--quick]

Each solver and spacing runs 16 steps on a denoiser whose answer is exact, and so does a reference of its own (numpy, float64,
from the papers and k-diffusion's formulas) from the same start with the same noise. Printed is the relative difference of
where they end (root mean square), the largest over what a model may predict and what its configuration may say of its own
spacing. `--quick` takes one prediction and one configuration a cell. Target: 1e-3.
"""

import argparse
import warnings
from collections import defaultdict

import common

from studio.core.samplers import SPACINGS
from tests.engine.oracle import CELLS, FLOW_CELLS, error_of, flow_error_of


def errors(quick: bool) -> dict[tuple[str, str], float]:
    """Of each (sampler, spacing), the largest."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for sampler, spacing, prediction, carried in CELLS:
        if not (quick and (sampler, spacing) in found):
            found[sampler, spacing] = max(found[sampler, spacing], error_of(sampler, spacing, prediction, carried))
    return found | {cell: flow_error_of(*cell) for cell in FLOW_CELLS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one prediction and one configuration a cell")
    arguments = parser.parse_args()
    common.announce()
    warnings.simplefilter("ignore")  # torchsde's, of levels that differ in their seventh digit
    cells = {cell: f"{error:.0e}" for cell, error in errors(arguments.quick).items()}
    columns = [name for name, _ in SPACINGS.items()]
    print("".join([f"{'':15}", *(f"{name:>12}" for name in columns)]))
    for sampler in dict.fromkeys(sampler for sampler, _ in cells):
        print("".join([f"{sampler:15}", *(f"{cells.get((sampler, name), '-'):>12}" for name in columns)]))


if __name__ == "__main__":
    main()
