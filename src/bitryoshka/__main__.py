"""``python -m bitryoshka`` is the command line."""

from bitryoshka.cli import main

if __name__ == "__main__":
    main()
