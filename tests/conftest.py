"""What every test starts from."""

import signal
import threading

from hypothesis import HealthCheck, settings

# How long an example takes says how loaded the machine is: no test asserts on that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if threading.current_thread() is threading.main_thread():
    # A shell that starts us in the background has us ignore SIGINT, and every child inherits that: Ctrl-C would never arrive.
    signal.signal(signal.SIGINT, signal.default_int_handler)
