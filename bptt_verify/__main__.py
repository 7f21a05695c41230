"""``python -m bptt_verify`` is the command line."""

from bptt_verify.cli import main

if __name__ == "__main__":
    main()
