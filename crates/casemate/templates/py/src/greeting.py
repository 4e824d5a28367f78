"""What the function says, without HTTP: so `python3 -m unittest` tests it on any machine."""


def greet(name: str) -> str:
    """Greets `name`, or the world."""
    return f"Hello, {name or 'world'}!\n"
