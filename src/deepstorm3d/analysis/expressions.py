"""Conditions on columns as users write them (``sigma_z_nm < 40 & photons > 2000``), read by a small grammar.

The text is never evaluated as Python. From the weakest binding to the strongest::

    condition    either ('|' either)*                also: or, ||
    either       negation ('&' negation)*            also: and, &&
    negation     ('~' | '!' | 'not') negation | comparison
    comparison   sum (('<' | '<=' | '>' | '>=' | '==' | '=' | '!=') sum)*
    sum          product (('+' | '-') product)*
    product      signed (('*' | '/') signed)*
    signed       ('-' | '+') signed | atom (('**' | '^') exponent)?
    atom         number | column | function '(' sum (',' sum)* ')' | '(' condition ')'

An exponent is a plain number. A comparison with an unknown value (NaN), or with one that cannot be computed
(a number over 0, the root of −1), is neither true nor false, and so is its negation: such a row is not kept
(Kleene's logic of three values, as in databases).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InputError
from .tokens import Token, marked, tokens_of

__all__ = ["Condition", "parse_condition"]

# Longest expression, characters.
_LONGEST_TEXT = 2000
# Deepest nesting of parentheses, signs and functions.
_DEEPEST = 40
# Largest absolute value of an exponent.
_GREATEST_EXPONENT = 16.0

Lookup = Callable[[str], Any]


def _where(computed: Any, cannot: Any) -> Any:
    """Numbers, NaN in place of those that cannot be computed, in their precision."""
    return np.where(cannot, np.full_like(computed, np.nan), computed)


def _quotient(above: Any, below: Any) -> Any:
    return _where(np.divide(above, below), np.equal(below, 0))


def _power(base: Any, exponent: float) -> Any:
    return _where(np.power(base, exponent), np.equal(base, 0) & (exponent < 0))


# Each comparison and its opposite; for unknown values both are false.
_COMPARISONS: Mapping[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "<": (operator.lt, operator.ge),
    "<=": (operator.le, operator.gt),
    ">": (operator.gt, operator.le),
    ">=": (operator.ge, operator.lt),
    "==": (operator.eq, lambda a, b: operator.or_(a < b, a > b)),
    "!=": (lambda a, b: operator.or_(a < b, a > b), operator.eq),
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
}
# Function and the least and greatest number of its arguments.
_FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (np.abs, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "log10": (np.log10, 1, 1),
    "min": (lambda *values: reduce(np.minimum, values), 2, 9),
    "max": (lambda *values: reduce(np.maximum, values), 2, 9),
}


@dataclass(frozen=True)
class _Truth:
    """Rows where a condition is true and rows where it is false, (N,) bool each; neither: it is not known."""

    holds: Any
    fails: Any

    def __and__(self, other: _Truth) -> _Truth:
        return _Truth(self.holds & other.holds, self.fails | other.fails)

    def __or__(self, other: _Truth) -> _Truth:
        return _Truth(self.holds | other.holds, self.fails & other.fails)

    def __invert__(self) -> _Truth:
        return _Truth(self.fails, self.holds)


@dataclass(frozen=True)
class Condition:
    """A condition on every row.

    text: as it was written;  columns: names that it uses, as written, in order.
    """

    text: str
    columns: tuple[str, ...]
    _value: Callable[[Lookup], Any]

    def __call__(self, lookup: Lookup) -> Any:
        """True where the condition holds: (N,) bool.  lookup: gives the values (N,) of a column by its name."""
        with np.errstate(all="ignore"):
            return self._value(lookup).holds


def parse_condition(text: str) -> Condition:
    """Read an expression; see the grammar of this module.

    Raises InputError, with the position in the text, for anything outside the grammar, a number in place of a
    condition or the reverse, an expression without a column, or one that is too long or too deep.
    """
    if not isinstance(text, str):
        raise InputError(f"a condition is a text such as 'photons > 2000', not {text!r}")
    if len(text) > _LONGEST_TEXT:
        raise InputError(f"the expression has {len(text)} characters; at most {_LONGEST_TEXT} are read")
    parser = _Parser(text, tokens_of(text))
    part = parser.condition()
    parser.expect_end()
    parser.need(part, condition=True, where="the whole expression")
    if not parser.columns:
        raise InputError(f"'{text}' names no column: it would keep every row or none")
    return Condition(text, tuple(dict.fromkeys(parser.columns)), part.value)


@dataclass(frozen=True)
class _Part:
    """A piece of an expression: a condition or a number, its position in the text, and how it is computed."""

    is_condition: bool
    at: int
    value: Callable[[Lookup], Any]


class _Parser:
    """Recursive descent, one method for each line of the grammar."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text, self.tokens = text, tokens
        self.position, self.depth = 0, 0
        self.columns: list[str] = []

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def take(self, *signs: str) -> Token | None:
        """The next token if it is one of these signs."""
        token = self.token
        if token.kind != "sign" or token.text not in signs:
            return None
        self.position += 1
        return token

    def wrong(self, why: str, at: int | None = None) -> InputError:
        return InputError(f"{marked(self.text, self.token.at if at is None else at)}: {why}")

    def need(self, part: _Part, *, condition: bool, where: str) -> _Part:
        if part.is_condition == condition:
            return part
        if condition:
            raise self.wrong(f"{where} must be a condition such as photons > 2000, this is a number", part.at)
        raise self.wrong(f"{where} must be a number, this is a condition", part.at)

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.wrong("here an operator (& | < > + - * /) is missing, or a parenthesis is too many")

    def condition(self) -> _Part:
        return self._joined("|", self.either, operator.or_)

    def either(self) -> _Part:
        return self._joined("&", self.negation, operator.and_)

    def _joined(self, sign: str, operand: Callable[[], _Part], join: Callable[[Any, Any], Any]) -> _Part:
        parts, where = [operand()], f"each side of {sign}"
        while self.take(sign):
            parts.append(operand())
        if len(parts) == 1:
            return parts[0]
        values = [self.need(part, condition=True, where=where).value for part in parts]
        return _Part(True, parts[0].at, lambda rows: reduce(join, (value(rows) for value in values)))

    def negation(self) -> _Part:
        sign = self.take("~")
        if sign is None:
            return self.comparison()
        value = self.need(self._deeper(self.negation), condition=True, where="what follows ~").value
        return _Part(True, sign.at, lambda rows: operator.invert(value(rows)))

    def comparison(self) -> _Part:
        parts, tests = [self.sum()], []
        while sign := self.take(*_COMPARISONS):
            tests.append(_COMPARISONS[sign.text])
            parts.append(self.sum())
        if not tests:
            return parts[0]
        values = [self.need(part, condition=False, where="each side of a comparison").value for part in parts]

        def holds(rows: Lookup) -> Any:
            sides = [value(rows) for value in values]
            pairs = zip(tests, pairwise(sides), strict=True)
            return reduce(
                operator.and_, (_Truth(test(a, b), opposite(a, b)) for (test, opposite), (a, b) in pairs)
            )

        return _Part(True, parts[0].at, holds)

    def sum(self) -> _Part:
        return self._arithmetic(("+", "-"), self.product)

    def product(self) -> _Part:
        return self._arithmetic(("*", "/"), self.signed)

    def _arithmetic(self, signs: tuple[str, str], operand: Callable[[], _Part]) -> _Part:
        first, others = operand(), []
        while sign := self.take(*signs):
            begin = self.position
            others.append((_ARITHMETIC[sign.text], operand()))
            if sign.text == "/" and self._is_zero(begin):
                raise self.wrong("a division by 0 gives no number", sign.at)
        if not others:
            return first
        where = f"each side of {' '.join(signs)}"
        start = self.need(first, condition=False, where=where).value
        steps = [(step, self.need(part, condition=False, where=where).value) for step, part in others]

        def value(rows: Lookup) -> Any:
            return reduce(lambda left, step: _plain(step[0](left, step[1](rows))), steps, start(rows))

        return _Part(False, first.at, value)

    def _is_zero(self, begin: int) -> bool:
        """Whether all that was read from a token on is the number 0, with a sign or without."""
        read = [token for token in self.tokens[begin : self.position] if token.text not in ("(", ")")]
        while len(read) > 1 and read[0].text in ("+", "-"):
            read = read[1:]
        return len(read) == 1 and read[0].kind == "number" and float(read[0].text) == 0

    def signed(self) -> _Part:
        sign = self.take("-", "+")
        if sign is None:
            return self.power()
        value = self.need(self._deeper(self.signed), condition=False, where=f"what follows {sign.text}").value
        return _Part(False, sign.at, value if sign.text == "+" else lambda rows: -value(rows))

    def power(self) -> _Part:
        base = self.atom()
        if not self.take("**"):
            return base
        value = self.need(base, condition=False, where="the base of a power").value
        minus, token = self.take("-"), self.token
        self.position += token.kind == "number"
        if token.kind != "number" or float(token.text) > _GREATEST_EXPONENT or self.token.text == "**":
            raise self.wrong(
                f"an exponent must be one plain number from -{_GREATEST_EXPONENT:g} to {_GREATEST_EXPONENT:g}",
                token.at,
            )
        exponent = -float(token.text) if minus else float(token.text)
        return _Part(False, base.at, lambda rows: _plain(_power(value(rows), exponent)))

    def atom(self) -> _Part:
        token = self.token
        if token.kind == "number":
            return self._number(token)
        if token.kind == "name":
            self.position += 1
            if self.take("("):
                return self._call(token)
            self.columns.append(token.text)
            return _Part(False, token.at, lambda rows: rows(token.text))
        if not self.take("("):
            raise self.wrong("here a column, a number or an opening parenthesis is missing")
        inside = self._deeper(self.condition)
        if not self.take(")"):
            raise self.wrong("here a closing parenthesis is missing")
        return inside

    def _number(self, token: Token) -> _Part:
        self.position += 1
        number = float(token.text)
        if not np.isfinite(number):
            raise self.wrong(f"the number {token.text} is too large", token.at)
        return _Part(False, token.at, lambda _: number)

    def _call(self, name: Token) -> _Part:
        if name.text.lower() not in _FUNCTIONS:
            known = ", ".join(_FUNCTIONS)
            raise self.wrong(f"there is no function '{name.text}'; there are {known}", name.at)
        function, least, most = _FUNCTIONS[name.text.lower()]
        parts = [self._deeper(self.condition)]
        while self.take(","):
            parts.append(self._deeper(self.condition))
        if not self.take(")"):
            raise self.wrong("here a closing parenthesis is missing")
        if not least <= len(parts) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise self.wrong(f"{name.text} takes {count} numbers, got {len(parts)}", name.at)
        values = [self.need(part, condition=False, where=f"what {name.text} takes").value for part in parts]
        return _Part(False, name.at, lambda rows: _plain(function(*(value(rows) for value in values))))

    def _deeper(self, rule: Callable[[], _Part]) -> _Part:
        """One level deeper, up to a limit that protects Python's stack (far above conditions of a user)."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.wrong(f"more than {_DEEPEST} parentheses, signs or functions inside one another")
        part = rule()
        self.depth -= 1
        return part


def _plain(value: Any) -> Any:
    """Numbers without a row stay Python numbers, so that they take the precision of a column."""
    return float(value) if np.ndim(value) == 0 else value
