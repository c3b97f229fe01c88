"""Settings of every test: the machines are shared and noisy, so hypothesis judges no test by its seconds."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
