"""Settings of every test: the machines are shared and noisy, so hypothesis judges no test by its seconds.

CI tries the same examples each time; a person's runs try new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("shared"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "shared")
