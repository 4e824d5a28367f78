"""cvc5 as an executable that reads SMT-LIB on stdin, made of the bindings that PyPI carries.

Takes `--lang smt` and options of the form `--name=value`, as cvc5 itself does.
"""

import sys

import cvc5


def commands(stream):
    """Each command of the stream as soon as its last bracket is read."""
    text, depth, quote, comment = [], 0, "", False
    while char := stream.read(1):
        if comment:
            comment = char != "\n"
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char == ";":
            comment = True
            continue
        elif char in '"|':
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        text.append(char)
        if depth == 0 and not quote and char == ")":
            yield "".join(text)
            text = []


def main():
    solver = cvc5.Solver()
    for option in sys.argv[1:]:
        name, is_option, value = option.removeprefix("--").partition("=")
        if is_option:
            solver.setOption(name, value)
    parser = cvc5.InputParser(solver)
    parser.setIncrementalStringInput(cvc5.InputLanguage.SMT_LIB_2_6, "stdin")
    for text in commands(sys.stdin):
        try:
            parser.appendIncrementalStringInput(text)
            said = parser.nextCommand().invoke(solver, parser.getSymbolManager())
        except RuntimeError as error:
            said = f'(error "{error}")\n'
        sys.stdout.write(said)
        sys.stdout.flush()


main()
