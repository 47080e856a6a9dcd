"""Becomes tritonserver, asked by the kernel to drain and exit when the launcher dies, however it dies.

Run as ``python -S -E exec_triton.py LAUNCHER_PID BINARY ARGUMENT...``. A program of its own, because code between
fork and exec in a process with threads can deadlock.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; kept over exec, not inherited by children

if __name__ == "__main__":
    launcher, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != launcher:  # it died before the line above
        sys.exit("the launcher is gone")
    os.execv(command[0], command)
