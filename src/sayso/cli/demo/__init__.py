"""The demo: the whole story on the running stack, told step by step, with waits on conditions and an exit code that means it."""
