"""
The vectors of the policy language.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ockam_twisted.testing import loadVectors

VECTORS: dict[str, Any] = loadVectors(Path(__file__).parents[1] / "vectors" / "vectors.json")
