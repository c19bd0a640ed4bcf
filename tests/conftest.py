"""What every test starts from."""

import signal
import threading

if threading.current_thread() is threading.main_thread():
    # A shell that starts us in the background has us ignore SIGINT, and every child inherits that: Ctrl-C would never arrive.
    signal.signal(signal.SIGINT, signal.default_int_handler)
