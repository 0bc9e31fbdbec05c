"""What all tests share."""

import signal

# A shell without a terminal starts background jobs with Ctrl-C ignored, and so would the processes
# that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
