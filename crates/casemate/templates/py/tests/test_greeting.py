import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from greeting import greet


class Greeting(unittest.TestCase):
    def test_greets_whom_it_is_told_to(self) -> None:
        self.assertEqual(greet(""), "Hello, world!\n")
        self.assertEqual(greet("Ada"), "Hello, Ada!\n")
