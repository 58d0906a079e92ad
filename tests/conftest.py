"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A machine whose cores are all busy makes examples slowly, and that is no fault of what is tested.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")
