"""Writes every mutant of a function beside the function: which of them runs is chosen when the program starts.

    fn f() { BODY }   becomes   fn f() { match ::mutation_switch::at(7) { 31 => { BODY 31 } 32 => { BODY 32 } _ => { BODY } } }
"""
import re

# A comment, a string, a character or a lifetime: braces in these are none. Rust's comments nest, which no code here does.
OTHER = re.compile(r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^\\'])'|'\w+""", re.DOTALL)


class Source:
    """A file, and where its lines begin; places are (line, column) from 1, as cargo-mutants tells them."""

    def __init__(self, text):
        self.text = text
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.plain = OTHER.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)

    def at(self, place):
        return self.lines[place["line"] - 1] + place["column"] - 1

    def span(self, span):
        return self.at(span["start"]), self.at(span["end"])

    def body(self, start, end):
        """Where the block of the function in `start..end` lies, without its braces; nothing of one that is const."""
        word = re.compile(r"\bfn\s+\w+").search(self.plain, start, end)
        if word is None or re.search(r"\bconst\b", self.plain[start:word.start()]):
            return None
        depth = 0
        for place in range(word.end(), end):
            character = self.plain[place]
            if character in "([":
                depth += 1
            elif character in ")]":
                depth -= 1
            elif character == "{" and depth == 0:
                # Neither can all arms have one hidden type.
                if re.search(r"->\s*[^{]*\bimpl\b", self.plain[word.end():place]):
                    return None
                return place + 1, end - 1
        return None


def rewrite(source, mutants, number_of):
    """The text with all `mutants` (id to what cargo-mutants says); the ids that could not be placed; who is in which lines
    of the new text, (first, last, id); and the number of each one's function, which `number_of` gives for its start."""
    functions, misplaced, asked = {}, [], {}
    spans = sorted({source.span(mutant["function"]["span"]) for mutant in mutants.values() if mutant["function"]})
    for number, mutant in mutants.items():
        if not mutant["function"]:
            misplaced.append(number)
            continue
        start, end = source.span(mutant["function"]["span"])
        # A function in a function is changed where the outer one is written.
        outer = next(span for span in spans if span[0] <= start and end <= span[1])
        functions.setdefault(outer, {})[number] = mutant
    out, lines, line, at = [], [], 1, 0

    def put(text, number=None):
        nonlocal line
        first, line = line, line + text.count("\n")
        out.append(text)
        if number is not None:
            lines.append((first, line, number))

    for (start, end), inside in sorted(functions.items()):
        place = source.body(start, end)
        if place is None:
            misplaced.extend(inside)
            continue
        body = source.text[place[0]:place[1]]
        put(source.text[at:place[0]])
        function = number_of(start)
        put(f"\nmatch ::mutation_switch::at({function}) {{\n")
        for number, mutant in inside.items():
            asked[number] = function
            first, last = source.span(mutant["span"])
            changed = source.text[place[0]:first] + mutant["replacement"] + source.text[last:place[1]]
            put(f"{number} => {{{changed}}}", number)
            put("\n")
        put("_ => {")
        put(body)
        put("}\n}\n")
        at = place[1]
    put(source.text[at:])
    return "".join(out), misplaced, lines, asked
