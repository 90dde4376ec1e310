"""What LeTO's paper reports, for the tables that stand beside ours: means and standard deviations over three seeds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CELLS = (("Can", "ph"), ("Can", "mh"), ("Square", "ph"), ("Square", "mh"))

Figure = tuple[float, float]  # mean, standard deviation

# Table III: method -> success in CELLS; IBC's come without a deviation.
SUCCESS: Mapping[str, tuple[Figure, ...]] = MappingProxyType(
    {
        "ibc": ((0.08, 0.0), (0.0, 0.0), (0.03, 0.0), (0.0, 0.0)),
        "lstm-gmm": ((0.946, 0.023), (0.946, 0.023), (0.787, 0.061), (0.773, 0.083)),
        "lstm-gmm-clipping": ((0.907, 0.046), (0.893, 0.023), (0.733, 0.083), (0.707, 0.023)),
        "base": ((1.0, 0.0), (1.0, 0.0), (0.987, 0.023), (0.907, 0.046)),
        "clipping": ((0.987, 0.023), (0.933, 0.046), (0.920, 0.040), (0.827, 0.023)),
        "leto": ((1.0, 0.0), (1.0, 0.0), (0.947, 0.046), (0.880, 0.040)),
    }
)

METRICS = ("mean-lin", "max-lin", "std-lin", "mean-rot", "max-rot", "std-rot")
# Tables IV to VII: cell -> method -> METRICS in hundredths, and the number of optimal indicators.
MOTION: Mapping[tuple[str, str], Mapping[str, tuple[tuple[float, ...], int]]] = MappingProxyType(
    {
        ("Can", "ph"): {
            "base": ((8.23, 69.78, 8.39, 1.03, 12.73, 1.29), 2),
            "lstm-gmm": ((9.78, 77.49, 10.61, 1.04, 24.58, 2.71), 1),
            "clipping": ((7.73, 10.00, 3.21, 3.61, 9.94, 2.45), 3),
            "lstm-gmm-clipping": ((5.61, 10.00, 3.68, 1.16, 9.59, 1.37), 3),
            "leto": ((4.36, 10.00, 3.47, 1.50, 9.78, 1.73), 4),
        },
        ("Can", "mh"): {
            "base": ((5.97, 64.85, 7.32, 0.60, 10.95, 0.96), 2),
            "lstm-gmm": ((6.02, 72.16, 7.41, 0.75, 21.48, 1.57), 0),
            "clipping": ((7.35, 10.00, 3.30, 2.74, 9.80, 2.26), 1),
            "lstm-gmm-clipping": ((4.74, 10.00, 3.45, 0.79, 9.16, 1.19), 1),
            "leto": ((2.66, 10.00, 2.60, 0.74, 8.28, 0.98), 5),
        },
        ("Square", "ph"): {
            "base": ((8.17, 70.66, 8.65, 0.95, 13.22, 1.32), 2),
            "lstm-gmm": ((8.19, 68.75, 8.76, 0.91, 13.81, 1.30), 2),
            "clipping": ((6.90, 10.00, 3.36, 2.09, 9.09, 1.75), 3),
            "lstm-gmm-clipping": ((5.11, 10.00, 3.36, 0.98, 9.04, 1.27), 6),
            "leto": ((5.08, 10.00, 3.35, 1.28, 9.24, 1.37), 5),
        },
        ("Square", "mh"): {
            "base": ((5.42, 60.97, 6.61, 0.57, 13.41, 1.11), 1),
            "lstm-gmm": ((5.37, 54.43, 6.28, 0.64, 13.31, 1.04), 0),
            "clipping": ((7.04, 10.00, 3.35, 2.41, 9.46, 2.04), 1),
            "lstm-gmm-clipping": ((3.81, 10.00, 3.07, 0.63, 7.80, 0.85), 4),
            "leto": ((3.08, 10.00, 2.70, 0.91, 8.18, 1.09), 4),
        },
    }
)

# Table VIII: limit on accelerations -> success, then METRICS in hundredths; Square, ph.
BOUNDS: Mapping[float, tuple[float, tuple[float, ...]]] = MappingProxyType(
    {
        0.05: (0.88, (3.3, 5.0, 1.7, 1.2, 5.0, 1.1)),
        0.1: (0.96, (4.9, 10.0, 3.3, 1.3, 9.0, 1.4)),
        0.2: (0.96, (6.1, 20.0, 5.1, 1.2, 12.1, 1.4)),
        0.5: (0.92, (7.1, 46.0, 7.1, 1.3, 14.5, 1.5)),
        1.0: (0.88, (6.7, 58.0, 7.2, 1.3, 13.4, 1.5)),
    }
)

# Table XI: hours for 20 epochs on Square, ph, in batches of 64, on a graphics card.
HOURS: Mapping[str, float] = MappingProxyType({"lstm-gmm": 2.90, "diffusion": 0.92, "leto": 7.25})
EPOCHS = 20
