"""Hypothesis: random small recurrences, as the text of a function in the language.

A recurrence is a list of assignments, each an operation on earlier values, with parameters made as
they are needed. What nothing else has used goes into the new states or the loss at the end, so that
every declaration is used. Sums that are constant (of a softmax, of deviations from a mean) are avoided:
their gradient is zero, and zero has no relative error.
"""

from hypothesis import strategies as st

import bptt_verify.language as language
from bptt_verify.language import pointwise

VECTORS = ("n", "m")
FUNCTIONS = ("tanh", "sigmoid", "softplus", "relu", "sin", "cos", "atan", "erf", "bent", "swish")
EXTRA = {
    "bent": pointwise(lambda u: (1 + u**2) ** 0.5 - u / 3, "bent"),
    "swish": pointwise(
        lambda u: u * language.sigmoid.expr.xreplace({language.sigmoid.arguments[0]: u}), "swish"
    ),
}
SCOPE = {n: getattr(language, n) for n in language.__all__} | EXTRA


class Writer:
    """Writes one recurrence; each method adds one assignment and returns the name it binds."""

    def __init__(self, draw, feedback):
        self.draw, self.feedback = draw, feedback
        self.declared = {"x": 'Input("d")', "y": 'Target("n")', "h": 'State("n")'}
        self.sizes = {"x": "d", "h": "n"}
        self.lines = []
        self.unused = []

    def pick(self, size):
        """A value of this size; what has not been used is twice as likely."""
        names = [n for n, s in self.sizes.items() if s == size]
        name = self.draw(st.sampled_from(names + [n for n in names if n in self.unused]))
        self.use(name)
        return name

    def use(self, name):
        if name in self.unused:
            self.unused.remove(name)

    def has(self, size):
        return size in self.sizes.values()

    def param(self, sizes, fresh=False):
        """A parameter, one that is there already or a new one."""
        old = [n for n, d in self.declared.items() if d == f'Param("{sizes}")']
        if old and not fresh and self.draw(st.booleans()):
            return self.draw(st.sampled_from(old))
        name = f"P{len(self.declared)}"
        self.declared[name] = f'Param("{sizes}")'
        return name

    def bind(self, size, text):
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.sizes[name] = size
        self.unused.append(name)
        return name

    def state(self, name, size):
        self.declared[name] = f'State("{size}")'
        self.sizes[name] = size

    # ---- operations ----

    def product(self):
        source = self.draw(st.sampled_from([s for s in ("d", *VECTORS) if self.has(s)]))
        size = self.draw(st.sampled_from(VECTORS))
        v = self.pick(source)
        form = self.draw(
            st.sampled_from(["{W} @ {v}", "{v} @ {W}.T", "{V}.T @ {v}", "{v} @ {V}", "{W} @ {U} @ {v}"])
        )
        sizes = {"W": f"{size} {source}", "V": f"{source} {size}", "U": f"{source} {source}"}
        made = {k: self.param(s) for k, s in sizes.items() if "{" + k + "}" in form}
        return self.bind(size, form.format(v=v, **made))

    def function(self):
        size = self.draw(st.sampled_from([s for s in (*VECTORS, "") if self.has(s)]))
        return self.bind(size, f"{self.draw(st.sampled_from(FUNCTIONS))}({self.pick(size)})")

    def combination(self):
        size = self.draw(st.sampled_from([s for s in (*VECTORS, "") if self.has(s)]))
        u, v = self.pick(size), self.pick(size)
        forms = [
            "{u} + {v}",
            "{u} - 0.3 * {v}",
            "{u} * {v}",
            "{u} / (1 + {v} * {v})",
            "sigmoid({u}) * {v} + {p}",
        ]
        form = self.draw(st.sampled_from(forms))
        return self.bind(size, form.format(u=u, v=v, p=self.param(size) if "{p}" in form else ""))

    def scaling(self):
        size = self.draw(st.sampled_from([s for s in VECTORS if self.has(s)]))
        scalar = self.pick("") if self.has("") else self.param("")
        return self.bind(size, f"{scalar} * {self.pick(size)}")

    def reduction(self):
        size = self.draw(st.sampled_from([s for s in VECTORS if self.has(s)]))
        forms = ["dot({u}, {v})", "sum({u} * {u})", "mean(sin({u}) * {v})", "dot({u}, {p})"]
        form = self.draw(st.sampled_from(forms))
        v = self.pick(size) if "{v}" in form else ""
        return self.bind("", form.format(u=self.pick(size), v=v, p=self.param(size) if "{p}" in form else ""))

    def normalisation(self):
        size = self.draw(st.sampled_from([s for s in VECTORS if self.has(s)]))
        form = self.draw(st.sampled_from(["softmax({v})", "{v} / sqrt(1 + mean({v} * {v}))"]))
        return self.bind(size, form.format(v=self.pick(size)))

    def gate(self):
        """A gated mixture, as in a GRU."""
        u, v = self.pick("n"), self.pick("n")
        gate = self.bind("n", f"sigmoid({self.param('n n')} @ {u} + {self.param('n')})")
        self.use(gate)
        return self.bind("n", f"(1 - {gate}) * {v} + {gate} * {self.pick('n')}")

    # ---- the whole ----

    def write(self):
        extra = self.draw(st.sampled_from([(), ("k",), ("s",), ("k", "s")]))
        self.bind("n", f"{self.param('n d')} @ x + {self.param('n n')} @ h + {self.param('n')}")
        if self.feedback:
            self.declared["u"], self.sizes["u"] = 'Feedback("n")', "n"
            self.bind("n", f"{self.param('n n')} @ u")
        if "k" in extra:
            self.state("k", "m")
            self.bind("m", f"{self.param('m m')} @ k")
        if "s" in extra:
            self.state("s", "")
            self.bind("", f"{self.param('')} * s")
        operations = [self.product, self.function, self.combination, self.scaling]
        operations += [self.reduction, self.normalisation, self.gate]
        for _ in range(self.draw(st.integers(0, 7))):
            self.draw(st.sampled_from(operations))()
        return self.finish(extra)

    def finish(self, extra):
        left = {size: [n for n in self.unused if self.sizes[n] == size] for size in ("n", "m", "")}
        loss = ["squared_error(o, y)"]
        new = {"h": f"tanh({' + '.join([*left['n'], self.pick('n')])})"}
        if "k" in extra:
            new["k"] = f"tanh({' + '.join([*left['m'], self.pick('m')])})"
        else:
            loss += [f"dot({v}, {v})" for v in left["m"]]
        if "s" in extra:
            new["s"] = f"atan({' + '.join([*left[''], self.pick('')])})"
        else:
            loss += left[""]
        output = self.draw(st.sampled_from(["h + h * h", f"{self.param('n n', fresh=True)} @ h"]))
        if "@" not in output:
            self.declared.popitem()
        lines = [*self.lines, *(f"{s} = {text}" for s, text in new.items()), f"o = {output}"]
        states = ", ".join(f"{s}={s}" for s in new)
        if self.feedback:  # the output, a function of it, or something that reads what was fed
            states += self.draw(st.sampled_from(["", ", u=softmax(o)", ", u=tanh(o) + 0.5 * u"]))
        arguments = ", ".join(f"{n}={d}" for n, d in self.declared.items())
        lines.append(f"return Step({states}, output=o, loss={' + '.join(loss)})")
        return f"def cell({arguments}):\n" + "".join(f"    {line}\n" for line in lines)


@st.composite
def recurrence_texts(draw, feedback=False):
    """The text of a random recurrence; one with a Feedback u, if that is asked for."""
    return Writer(draw, feedback).write()


def recurrence_of(text):
    """The recurrence that a text defines."""
    scope = dict(SCOPE)
    exec(text, scope)
    return language.recurrence(scope["cell"])
