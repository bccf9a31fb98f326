"""What the certificates show, as SMT-LIB 2.6 files for any solver: each is to be refuted.

One file holds one step of one certificate: the facts that the step uses, and that its conclusion is
false. All are integers; a quotient, remainder or label is a constant of its own, with what is known
of it among the facts. A certificate names the products of facts that matter, and a solver need not
search for them: they follow as hints, written as products of facts above them, so a wrong hint
would show. Without the hints the files are the plain problems. What is not about integers, the
equality of re-indexed sums term by term, stays with the checker.

    for a, b >= 0:  a*b >= 0          for e = 0:  c*e = 0
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradproof.derive.checker import (
    Fact,
    Poly,
    freeze,
    order,
    scale,
    show_atom,
    show_fact,
    sub,
)
from gradproof.derive.prove.obligations import Obligation, replay, replay_named

KINDS = {"//": "quotient", "%": "remainder", "read": "element", "call": "value"}
SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# names of the integers' theory, and words of the language, are no names for a size
RESERVED = re.compile(
    "_|abs|and|as|assert|div|distinct|echo|exists|exit|exp|false|forall|iand|is_int|ite|let|match|"
    "mod|not|or|par|pi|pop|push|reset|to_int|to_real|true|xor|BINARY|DECIMAL|HEXADECIMAL|NUMERAL|"
    "STRING"
)


def export(
    folder: Path, record: Any, entry: Any, text: str, operators: Any, *, hints: bool = True
) -> list[Path]:
    """Write the files of one operator (see `replay`) into `folder`/its name, which is made.

    Errors: Refused, as the checker does; others as `write` does.
    """
    found = replay(record, entry, text, operators)
    return write(folder / record["definition"]["name"], found, hints=hints)


def export_named(folder: Path, record: Any, *, hints: bool = True) -> list[Path]:
    """Write the files of the named operators into `folder`/closed-forms."""
    return write(folder / "closed-forms", replay_named(record), hints=hints)


def write(folder: Path, obligations: list[Obligation], *, hints: bool = True) -> list[Path]:
    """Write one file for every step, into a new or empty folder; the files, in order.

    Errors: FileExistsError where the folder is a file or has something in it, so that nothing is
    written over and no older file passes for a new one; other kinds of OSError where it cannot be
    written. Each names the folder.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "this is a file, and a folder is needed", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    if present := next(folder.iterdir(), None):
        problem = f"the folder is not empty (it has {present.name}): give a new or an empty one"
        raise FileExistsError(errno.ENOTEMPTY, problem, str(folder))
    written = []
    for name, text in scripts(obligations, hints=hints):
        (folder / name).write_text(text, "utf-8", newline="\n")
        written.append(folder / name)
    return written


def scripts(obligations: list[Obligation], *, hints: bool = True) -> Iterator[tuple[str, str]]:
    """(file name, text) for every step: the claim's name, and a number within the claim."""
    numbers: dict[str, int] = {}
    for o in obligations:
        slug = _slug(o)
        for n in range(len(o.steps)):
            numbers[slug] = numbers.get(slug, 0) + 1
            yield f"{slug}-{numbers[slug]:03}.smt2", script(o, n, hints=hints)


def _slug(o: Obligation) -> str:
    """The operator and the first claim, in letters that any file system takes."""
    claim = o.claims[0] if o.claims[0].startswith(o.operator) else f"{o.operator} {o.claims[0]}"
    return re.sub(r"[^a-z0-9]+", "-", claim.lower()).strip("-")


def script(o: Obligation, number: int, *, hints: bool = True) -> str:
    """The file for one step. `hints`: say which products of facts to use.

    >>> from fractions import Fraction
    >>> from gradproof.derive.checker import const, sub, var
    >>> fact, half = (">=", sub(var("N"), const(1))), Fraction(1, 2)
    >>> step = (">=", var("N"), [(half, [0]), (half, [-1])], [])
    >>> o = Obligation("add", "add.cl:9", "0" * 16, [fact], [step[:2]], [step], ["add_y.range"])
    >>> print(script(o, 0).split("(set-logic QF_NIA)")[1].strip())
    (declare-const N Int)
    ; N - 1 >= 0
    (define-fun fact!0 () Int (+ N (- 1)))
    (assert (>= fact!0 0))
    ; what is to be shown, and that it is false
    (define-fun conclusion! () Int N)
    ; N >= 0
    (assert (not (>= conclusion! 0)))
    (check-sat)
    (exit)
    """
    step = o.steps[number]
    known = o.facts + [(s[0], s[1]) for s in o.steps[:number]]
    used = facts_used(known, step)
    s = _Script()
    cofactors = [s.poly(c) for _, c in step[3]]
    body = [line for i in used for line in s.fact(known, i, len(o.facts))]
    body += s.congruence(step)
    body += ["; what is to be shown, and that it is false"]
    body += [f"(define-fun conclusion! () Int {s.poly(step[1])})", f"; {show_fact(step[:2])}"]
    body += [f"(assert (not ({_relation(step[0])} conclusion! 0)))"]
    if hints:
        body += s.hints(step, cofactors, len(o.facts))
    head = _header(o, number, [_name(i, len(o.facts)) for i in used])
    return "\n".join([*head, *s.declarations, *body, "(check-sat)", "(exit)", ""])


def facts_used(known: list[Fact], step: Any) -> list[int]:
    """The indices of the facts and earlier conclusions that a step uses, in order."""
    indices = {i for _, product in step[2] for i in product} | {i for i, _ in step[3]}
    for d in _arguments(step) or []:
        same = [("==", d), ("==", scale(d, -1))]
        indices |= {next(i for i, f in enumerate(known) if f in same)}
    return sorted(indices - {-1})


def _arguments(step: Any) -> list[Poly] | None:
    """For a step f(a) = f(b), which has no multipliers: the differences of the arguments."""
    kind, p, pos, eq = step
    if kind != "==" or pos or eq:
        return None
    a, b = (m[0] for m in p)
    return [d for x, y in zip(a[2], b[2], strict=True) if (d := sub(dict(x), dict(y)))]


def _header(o: Obligation, number: int, used: list[str]) -> list[str]:
    kind, p = o.steps[number][:2]
    final = (kind, freeze(p)) in {(k, freeze(g)) for k, g in o.goals}
    purpose = "a goal" if final else "a lemma for the goals"
    lines = [
        f"{o.operator}: {'; '.join(o.claims)}",
        f"at {o.where}",
        f"certificate {o.key}, step {number + 1} of {len(o.steps)}: {purpose}",
        f"{show_fact((kind, p))}  follows from  {', '.join(used) or 'nothing'}",
        "(fact!: a hypothesis; lemma!: an earlier step of this certificate; quotients, remainders",
        "and elements of tensors are integers of their own)",
    ]
    return [
        "(set-info :smt-lib-version 2.6)",
        *(f"; {' '.join(line.split())}" for line in lines),
        "(set-info :status unsat)",
        "(set-logic QF_NIA)",
    ]


def _relation(kind: str) -> str:
    return "=" if kind == "==" else ">="


def _name(i: int, facts: int) -> str:
    """How a fact, or the conclusion of an earlier step, is called."""
    if i < 0:
        return "(- (- conclusion!) 1)"
    return f"fact!{i}" if i < facts else f"lemma!{i - facts + 1}"


class _Script:
    """Terms of one file, and the constants that they need."""

    def __init__(self) -> None:
        self.names: dict[Any, str] = {}
        self.declarations: list[str] = []

    def atom(self, a: Any) -> str:
        """The name of an atom, declared where it is new."""
        if a not in self.names:
            if isinstance(a, str) and SYMBOL.fullmatch(a) and not RESERVED.fullmatch(a):
                self.names[a] = a
            else:
                kind = "size" if isinstance(a, str) else KINDS.get(a[0], "value")
                self.names[a] = f"{kind}!{len(self.names)}"
                self.declarations.append(f"; {self.names[a]} is {show_atom(a)}")
            self.declarations.append(f"(declare-const {self.names[a]} Int)")
        return self.names[a]

    def poly(self, p: Poly) -> str:
        """p as a term, multiplied by the denominators of its coefficients."""
        whole = math.lcm(*(c.denominator for c in p.values()))
        terms = []
        for m, c in sorted(p.items(), key=order):
            factors = [self.atom(a) for a in m]
            number = abs(int(c * whole))
            if number != 1 or not factors:
                factors.insert(0, str(number))
            term = factors[0] if len(factors) == 1 else f"(* {' '.join(factors)})"
            terms.append(f"(- {term})" if c < 0 else term)
        return terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})" if terms else "0"

    def fact(self, known: list[Fact], i: int, facts: int) -> list[str]:
        """A fact's definition, and that it holds."""
        (kind, p), name = known[i], _name(i, facts)
        return [
            f"; {show_fact((kind, p))}",
            f"(define-fun {name} () Int {self.poly(p)})",
            f"(assert ({_relation(kind)} {name} 0))",
        ]

    def congruence(self, step: Any) -> list[str]:
        """A function or tensor has one value at equal arguments."""
        differences = _arguments(step)
        if differences is None:
            return []
        equal = " ".join(f"(= {self.poly(d)} 0)" for d in differences)
        holds = f"(= {self.poly(step[1])} 0)"
        return [
            "; at equal subscripts or arguments there is one value",
            f"(assert {f'(=> (and true {equal}) {holds})' if equal else holds})",
        ]

    def hints(self, step: Any, cofactors: list[str], facts: int) -> list[str]:
        """The products of facts in the certificate, each implied by what is asserted above."""
        products = [[_name(i, facts) for i in product] for _, product in step[2]]
        lines = [f"(assert (>= (* {' '.join(names)}) 0))" for names in products if len(names) > 1]
        if step[0] == "==" and step[2]:
            lines = []  # p >= 0 and -p >= 0 need no product
        for (i, cofactor), term in zip(step[3], cofactors, strict=True):
            if set(cofactor) - {()}:
                lines.append(f"(assert (= (* {term} {_name(i, facts)}) 0))")
        return ["; hints: products of what is asserted above", *lines] if lines else []
