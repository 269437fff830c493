"""`python -m aae_detect` is `aae-detect`."""

from aae_detect.cli import main

main()
