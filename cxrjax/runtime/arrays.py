"""Arrays that functions accept."""

import numpy as np
from jaxtyping import Array

AnyArray = Array | np.ndarray  # on the device or on the host
