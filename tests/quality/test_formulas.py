"""Formulas as textbooks, papers and notebooks write them, right ones and wrong ones: all judged rightly.

A wrong formula must come with a counterexample at which the numbers really differ; where the misprint is
one of the known ones, it must be named.
"""

# ruff: noqa: E501 (formulas are quoted as they are written)

import re
from fractions import Fraction

import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.language import run


@bv.recurrence
def pascanu(u=bv.Input("d"), y=bv.Target("q"), x=bv.State("n"),
            W_rec=bv.Param("n n"), W_in=bv.Param("n d"), b=bv.Param("n"), W_out=bv.Param("q n")):  # fmt: skip
    """The state is what stands before the function: x_t = W_rec σ(x_{t-1}) + W_in u_t + b."""
    x = W_rec @ bv.sigmoid(x) + W_in @ u + b
    o = W_out @ x
    return bv.Step(x=x, output=o, loss=bv.squared_error(o, y))


@bv.recurrence
def wildml(x=bv.Input("d"), y=bv.Target("q"), s=bv.State("n"),
           U=bv.Param("n d"), V=bv.Param("q n"), W=bv.Param("n n")):  # fmt: skip
    """Letters of a well-known blog: s_t = tanh(U x_t + W s_{t-1}), softmax output."""
    z = U @ x + W @ s
    s = bv.tanh(z)
    o = V @ s
    return bv.Step(s=s, output=o, loss=bv.softmax_cross_entropy(o, y))


@bv.recurrence
def scalar(x=bv.Input(""), y=bv.Target(""), h=bv.State(""), w=bv.Param(""), u=bv.Param("")):
    """One number of everything."""
    h = w * h + u * x
    return bv.Step(h=h, output=h, loss=(h - y) ** 2 / 2)


@bv.recurrence
def leaky(x=bv.Input("d"), y=bv.Target("n"), h=bv.State("n"), W=bv.Param("n n"), U=bv.Param("n d")):
    """h_t = (h_{t-1} + tanh(W h_{t-1} + U x_t)) / 2, read out as it is."""
    a = W @ h + U @ x
    h = h / 2 + bv.tanh(a) / 2
    return bv.Step(h=h, output=h, loss=bv.squared_error(h, y))


CELLS = {name: getattr(cells, name) for name in
         ("linear", "elman", "elman_relu", "elman_charlm", "gru", "gru_original", "lstm", "lstm_stack")}  # fmt: skip
CELLS |= {"pascanu": pascanu, "wildml": wildml, "scalar": scalar, "leaky": leaky}

# (cell, of, text); of = "" leaves the argument out, None takes it from the left side.
RIGHT = [
    # The claims T1–T3, in LaTeX
    ("linear", "", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top"),
    ("linear", "W_hx", r"\sum_{t=1}^T \frac{\partial L}{\partial h_t} x_t^\top"),
    ("linear", "W_qh", r"$$\frac{\partial L}{\partial W_{qh}} = \sum_t \frac{\partial L}{\partial o_t} h_t^{\top}.$$"),
    ("linear", None, r"\frac{\partial L}{\partial o_t} = \frac{1}{T} \frac{\partial \ell(o_t, y_t)}{\partial o_t}"),
    ("linear", None, r"\frac{\partial L}{\partial h_T} = W_{qh}^\top \frac{\partial L}{\partial o_T}"),
    ("linear", "h", r"\frac{\partial L}{\partial h_t} = W_{hh}^\top \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_t} \quad (t < T)"),
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{T-i} W_{qh}^\top \frac{\partial L}{\partial o_{T+t-i}}"),
    ("linear", "h", r"\sum_{s=t}^{T} (W_{hh}^\top)^{s-t} W_{qh}^\top \frac{\partial L}{\partial o_s}"),
    ("linear", "h", r"\frac{1}{T}\sum_{s=t}^{T} (W_{hh}^{s-t})^\top W_{qh}^\top (o_s - y_s)"),
    ("linear", "W_hh", r"\frac{1}{T}\sum_{t=1}^{T}\sum_{s=t}^{T} (W_{hh}^\top)^{s-t} W_{qh}^\top (o_s - y_s)\, h_{t-1}^\top"),
    ("linear", "h0", r"W_{hh}^\top \frac{\partial L}{\partial h_1}"),
    ("linear", None, r"\frac{\partial h_T}{\partial h_0} = W_{hh}^{T}"),
    ("linear", None, r"\frac{\partial h_t}{\partial h_k} = W_{hh}^{t-k}"),
    ("linear", None, r"\frac{\partial h_T}{\partial h_0} = (W_{hh}^\top)^{T}"),
    ("linear", "x", r"W_{hx}^\top \frac{\partial L}{\partial h_t}"),
    ("gru", "dh/dW_zh", r"\frac{\partial h_t}{\partial w} = A_t + \sum_{i=1}^{t-1} \left( J_t J_{t-1} \cdots J_{i+1} \right) A_i"),
    ("lstm", "dh/dh0", r"\frac{\partial h_t}{\partial h_0} = \frac{\partial h_t}{\partial h_0}"),
    ("gru", None, r"\lambda_t = c_t + J_{t+1}^\top \lambda_{t+1}"),
    ("gru", None, r"\lambda_T = c_T"),
    ("gru", None, r"\lambda_t = \sum_{s=t}^{T} (J_s \cdots J_{t+1})^\top c_s"),
    ("gru", "W_zh", r"\frac{\partial L}{\partial w} = \sum_t c_t^\top \frac{\partial h_t}{\partial w} = \sum_i \lambda_i^\top A_i"),
    ("gru", "h0", r"\frac{\partial L}{\partial h_0} = \lambda_1^\top J_1"),
    ("lstm", None, r"\lambda_t = c_t + J_{t+1}^\top \lambda_{t+1}, \quad t < T"),
    ("lstm", "W_fh", r"\frac{\partial L}{\partial W_{fh}} = \sum_{i=1}^{T} \lambda_i^\top A_i"),
    # Dive into Deep Learning
    ("elman", "W_hh", r"\frac{\partial L}{\partial w_\textrm{h}} = \frac{1}{T}\sum_{t=1}^T \frac{\partial l(y_t, o_t)}{\partial w_\textrm{h}} = \frac{1}{T}\sum_{t=1}^T \frac{\partial l(y_t, o_t)}{\partial o_t} \frac{\partial g(h_t, w_\textrm{o})}{\partial h_t} \frac{\partial h_t}{\partial w_\textrm{h}}."),
    ("elman", "dh/dW_hh", r"\frac{\partial h_t}{\partial w_\textrm{h}}= \frac{\partial f(x_{t},h_{t-1},w_\textrm{h})}{\partial w_\textrm{h}} +\frac{\partial f(x_{t},h_{t-1},w_\textrm{h})}{\partial h_{t-1}} \frac{\partial h_{t-1}}{\partial w_\textrm{h}}."),
    ("gru", "dh/dW_rh", r"\frac{\partial h_t}{\partial w_\textrm{h}}=\frac{\partial f(x_{t},h_{t-1},w_\textrm{h})}{\partial w_\textrm{h}}+\sum_{i=1}^{t-1}\left(\prod_{j=i+1}^{t} \frac{\partial f(x_{j},h_{j-1},w_\textrm{h})}{\partial h_{j-1}} \right) \frac{\partial f(x_{i},h_{i-1},w_\textrm{h})}{\partial w_\textrm{h}}."),
    ("linear", None, r"\frac{\partial L}{\partial \mathbf{o}_t} =  \frac{\partial l (\mathbf{o}_t, y_t)}{T \cdot \partial \mathbf{o}_t} \in \mathbb{R}^q."),
    ("linear", None, r"""\frac{\partial L}{\partial \mathbf{W}_\textrm{qh}} = \sum_{t=1}^T \textrm{prod}\left(\frac{\partial L}{\partial \mathbf{o}_t}, \frac{\partial \mathbf{o}_t}{\partial \mathbf{W}_\textrm{qh}}\right) = \sum_{t=1}^T \frac{\partial L}{\partial \mathbf{o}_t} \mathbf{h}_t^\top,"""),
    ("linear", None, r"""\frac{\partial L}{\partial \mathbf{h}_T} = \text{prod}\left(\frac{\partial L}{\partial \mathbf{o}_T}, \frac{\partial \mathbf{o}_T}{\partial \mathbf{h}_T} \right) = \mathbf{W}_\textrm{qh}^\top \frac{\partial L}{\partial \mathbf{o}_T}."""),
    ("linear", None, r"""\frac{\partial L}{\partial \mathbf{h}_t} = \textrm{prod}\left(\frac{\partial L}{\partial \mathbf{h}_{t+1}}, \frac{\partial \mathbf{h}_{t+1}}{\partial \mathbf{h}_t} \right) + \textrm{prod}\left(\frac{\partial L}{\partial \mathbf{o}_t}, \frac{\partial \mathbf{o}_t}{\partial \mathbf{h}_t} \right) = \mathbf{W}_\textrm{hh}^\top \frac{\partial L}{\partial \mathbf{h}_{t+1}} + \mathbf{W}_\textrm{qh}^\top \frac{\partial L}{\partial \mathbf{o}_t}."""),
    ("linear", None, r"\frac{\partial L}{\partial \mathbf{h}_t}= \sum_{i=t}^T {\left(\mathbf{W}_\textrm{hh}^\top\right)}^{T-i} \mathbf{W}_\textrm{qh}^\top \frac{\partial L}{\partial \mathbf{o}_{T+t-i}}."),
    ("linear", None, r"""\begin{aligned}
\frac{\partial L}{\partial \mathbf{W}_\textrm{hx}} &= \sum_{t=1}^T \textrm{prod}\left(\frac{\partial L}{\partial \mathbf{h}_t}, \frac{\partial \mathbf{h}_t}{\partial \mathbf{W}_\textrm{hx}}\right) = \sum_{t=1}^T \frac{\partial L}{\partial \mathbf{h}_t} \mathbf{x}_t^\top,\\
\frac{\partial L}{\partial \mathbf{W}_\textrm{hh}} &= \sum_{t=1}^T \textrm{prod}\left(\frac{\partial L}{\partial \mathbf{h}_t}, \frac{\partial \mathbf{h}_t}{\partial \mathbf{W}_\textrm{hh}}\right) = \sum_{t=1}^T \frac{\partial L}{\partial \mathbf{h}_t} \mathbf{h}_{t-1}^\top,
\end{aligned}"""),
    ("elman", "W_hh", r"\partial_{w} h_t = \partial_{w} f(x_t, h_{t-1}, w) + \partial_{h} f(x_t, h_{t-1}, w) \partial_{w} h_{t-1}"),
    # Goodfellow, Bengio, Courville, chapter 10
    ("elman", None, r"\nabla_{\boldsymbol{h}^{(\tau)}} L = \boldsymbol{W}_{qh}^\top \nabla_{\boldsymbol{o}^{(\tau)}} L"),
    ("elman", None, r"\nabla_{\bm{h}^{(t)}} L = \left(\frac{\partial \bm{h}^{(t+1)}}{\partial \bm{h}^{(t)}}\right)^{\top} (\nabla_{\bm{h}^{(t+1)}} L) + \left(\frac{\partial \bm{o}^{(t)}}{\partial \bm{h}^{(t)}}\right)^{\top} (\nabla_{\bm{o}^{(t)}} L) = \bm{W}_{hh}^{\top} \operatorname{diag}\left(1-\left(\bm{h}^{(t+1)}\right)^2\right) (\nabla_{\bm{h}^{(t+1)}} L) + \bm{W}_{qh}^{\top} (\nabla_{\bm{o}^{(t)}} L)"),
    ("elman", None, r"\nabla_{\bm{b}_q} L = \sum_t \left(\frac{\partial \bm{o}^{(t)}}{\partial \bm{b}_q}\right)^\top \nabla_{\bm{o}^{(t)}} L = \sum_t \nabla_{\bm{o}^{(t)}} L"),
    ("elman", None, r"\nabla_{\bm{b}_h} L = \sum_t \left(\frac{\partial \bm{h}^{(t)}}{\partial \bm{b}_h^{(t)}}\right)^\top \nabla_{\bm{h}^{(t)}} L = \sum_t \operatorname{diag}\left(1-\left(\bm{h}^{(t)}\right)^2\right) \nabla_{\bm{h}^{(t)}} L"),
    ("elman", None, r"\nabla_{\bm{W}_{qh}} L = \sum_t (\nabla_{\bm{o}^{(t)}} L)\, \bm{h}^{(t)^\top}"),
    ("elman", None, r"\nabla_{\bm{W}_{hh}} L = \sum_t \operatorname{diag}\left(1-\left(\bm{h}^{(t)}\right)^2\right) (\nabla_{\bm{h}^{(t)}} L)\, \bm{h}^{(t-1)\top}"),
    ("elman", None, r"\nabla_{\bm{W}_{hx}} L = \sum_t \operatorname{diag}\left(1-\left(\bm{h}^{(t)}\right)^2\right) (\nabla_{\bm{h}^{(t)}} L)\, \bm{x}^{(t)\top}"),
    ("elman_charlm", None, r"\nabla_{o^{(t)}} L = \frac{1}{T} (\hat{y}^{(t)} - y^{(t)})"),
    # Pascanu, Mikolov, Bengio
    ("pascanu", "W_rec", r"\frac{\partial \mathcal{E}}{\partial \theta} = \sum_{1 \leq t \leq T} \frac{\partial \mathcal{E}_t}{\partial \theta}"),
    ("pascanu", "W_rec", r"\frac{\partial \mathcal{E}_t}{\partial \theta} = \sum_{1 \leq k \leq t} \left( \frac{\partial \mathcal{E}_t}{\partial \mathbf{x}_t} \frac{\partial \mathbf{x}_t}{\partial \mathbf{x}_k} \frac{\partial^+ \mathbf{x}_k}{\partial \theta} \right)"),
    ("pascanu", None, r"\frac{\partial \mathbf{x}_t}{\partial \mathbf{x}_k} = \prod_{t \geq i > k} \frac{\partial \mathbf{x}_i}{\partial \mathbf{x}_{i-1}} = \prod_{t \geq i > k} \operatorname{diag}(\sigma'(\mathbf{x}_{i-1})) \mathbf{W}_{rec}^T"),
    ("pascanu", None, r"\frac{\partial x_t}{\partial x_k} = \prod_{i=k+1}^{t} W_{rec} \operatorname{diag}(\sigma'(x_{i-1}))"),
    # Chen's tutorial, Britz' blog, lecture notes
    ("wildml", "W", r"\frac{\partial E_3}{\partial W} = \sum_{k=0}^{3} \frac{\partial E_3}{\partial s_3}\frac{\partial s_3}{\partial s_k}\frac{\partial s_k}{\partial W}"),
    ("wildml", "W", r"\frac{\partial E_3}{\partial W} = \sum_{k=0}^{3} \frac{\partial E_3}{\partial s_3} \left(\prod_{j=k+1}^{3}\frac{\partial s_j}{\partial s_{j-1}}\right)\frac{\partial s_k}{\partial W}"),
    ("elman_charlm", "W_qh", r"\frac{\partial L}{\partial W_{qh}} = \frac{1}{T} \sum_t (\hat{y}_t - y_t) \otimes h_t"),
    ("elman", "W_hh", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^T \sum_{k=1}^t \frac{\partial L_t}{\partial h_t} \cdot \frac{\partial h_t}{\partial h_k} \cdot \frac{\partial^+ h_k}{\partial W_{hh}}"),
    ("elman", "W_hh", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T}\sum_{k=1}^{t} \frac{\partial L_t}{\partial o_t}\frac{\partial o_t}{\partial h_t}\frac{\partial h_t}{\partial h_k}\frac{\partial h_k}{\partial W_{hh}}"),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{i=k+1}^{t} \text{diag}(1 - h_i^2) W_{hh}"),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{j=k+1}^t W_{hh}^T \cdot \text{diag}(1 - h_j^2)"),
    ("elman", None, r"\frac{\partial h_T}{\partial h_k} = \prod_{j=k+1}^{T} D_j W_{hh}"),
    ("elman", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \text{diag}(1 - \tanh^2(W_{hh} h_{t-1} + W_{hx} x_t + b_h)) W_{hh}"),
    ("elman", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(\operatorname{sech}^2(a_t)) W_{hh}"),
    ("elman", None, r"J_t = \mathrm{diag}(\tanh'(a_t))\, W_{hh}"),
    ("elman", "a", r"\delta_t = \left(W_{qh}^\top \frac{\partial L}{\partial o_t} + W_{hh}^\top \delta_{t+1}\right) \odot (1 - h_t \odot h_t)"),
    ("elman", "W_hh", r"\sum_t \delta_t h_{t-1}^\top"),
    ("elman", "b_h", r"\sum_{t=1}^{T} \delta_t"),
    ("elman", "W_hh", r"\sum_t \phi'(a_t) \odot \frac{\partial L}{\partial h_t} h_{t-1}^\top"),
    ("elman", "h", r"W_{hh}^\top \frac{\partial L}{\partial h_{t+1}} \odot (1-h_{t+1}^2) + W_{qh}^\top \frac{\partial L}{\partial o_t}"),
    ("elman_relu", "b_h", r"\sum_t \operatorname{relu}'(a_t) \odot \frac{\partial L}{\partial h_t}"),
    # numerator layout
    ("elman", "h", r"\frac{\partial L}{\partial h_t} = \frac{\partial L}{\partial h_{t+1}} \frac{\partial h_{t+1}}{\partial h_t} + \frac{\partial L}{\partial o_t} W_{qh}"),
    ("linear", "W_hh", r"\sum_{t} h_{t-1} \frac{\partial L}{\partial h_t}"),
    ("linear", "h", r"\frac{1}{T} (o_T - y_T)^\top W_{qh} W_{hh}^{T-t} + \frac{1}{T}\sum_{s=t}^{T-1} (o_s-y_s)^\top W_{qh} W_{hh}^{s-t}"),
    # plain text
    ("linear", "W_hh", "Sum(dL/dh[t] * h[t-1].T, (t, 1, T))"),
    ("linear", "W_hh", "sum(outer(dL/dh_t, h_{t-1}) for t in 1..T)"),
    ("linear", "W_hh", "1/T * Sum(Sum((W_hh.T)**(s-t) @ W_qh.T @ (o[s] - y[s]) @ h[t-1].T, (s, t, T)), (t, 1, T))"),
    ("linear", "W_hh", "Sum(λ[t+1] h[t].T, (t, 0, T-1))"),
    ("linear", "W_hh", "Σ_{t=1}^{T} λ_t h_{t-1}ᵀ"),
    ("linear", "W_hh", "∂L/∂W_hh = Σ_{t=1}^T ∂L/∂hₜ hₜ₋₁ᵀ"),
    ("gru", "W_zh", "dL/dW_zh = Sum((dL/dz[t] * z[t] * (1 - z[t])) * h[t-1].T, (t, 1, T))"),
    ("gru", None, "dL/dz[t] = dL/dh[t] ⊙ (h[t-1] - n[t])"),
    ("gru", None, r"\frac{\partial L}{\partial r_t} = \frac{\partial L}{\partial n_t} \odot (1 - n_t^2) \odot (W_{nh} h_{t-1} + b_{nh})"),
    ("gru_original", None, r"\frac{\partial L}{\partial r_t} = (W_{nh}^\top ((1-n_t^2) \odot \frac{\partial L}{\partial n_t})) \odot h_{t-1}"),
    ("lstm", "c", r"\frac{\partial L}{\partial c_t} = \frac{\partial L}{\partial h_t} \odot o_t \odot (1 - \tanh^2(c_t)) + \frac{\partial L}{\partial c_{t+1}} \odot f_{t+1}"),
    ("lstm", None, r"\frac{\partial L}{\partial i_t} = \frac{\partial L}{\partial c_t} \odot g_t"),
    ("lstm", None, r"\frac{\partial L}{\partial f_t} = \frac{\partial L}{\partial c_t} \odot c_{t-1}"),
    ("lstm", "W_ih", r"\sum_{t=1}^{T} \left(\frac{\partial L}{\partial i_t} \odot i_t \odot (1-i_t)\right) h_{t-1}^\top"),
    ("lstm", "b_o", r"\sum_t \frac{\partial L}{\partial h_t} \odot \tanh(c_t) \odot o_t \odot (1 - o_t)"),
    ("lstm", None, r"\frac{\partial L}{\partial h_t} = \frac{1}{T} W_{qh}^\top (q_t - y_t) + W_{ih}^\top (\frac{\partial L}{\partial i_{t+1}} \odot i_{t+1} \odot (1 - i_{t+1})) + W_{fh}^\top (\frac{\partial L}{\partial f_{t+1}} \odot f_{t+1} \odot (1 - f_{t+1})) + W_{gh}^\top (\frac{\partial L}{\partial g_{t+1}} \odot (1 - g_{t+1}^2)) + W_{oh}^\top (\frac{\partial L}{\partial o_{t+1}} \odot o_{t+1} \odot (1 - o_{t+1}))"),
    ("scalar", "w", r"\frac{1}{T}\sum_{t=1}^{T} (h_t - y_t) \sum_{i=1}^{t} w^{t-i} h_{i-1}"),
    ("scalar", "dh/dw", r"\sum_{i=1}^{t} w^{t-i} h_{i-1}"),
    ("leaky", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \frac{1}{2} I + \frac{1}{2}\operatorname{diag}(1 - \tanh(a_t)^2) W"),
    ("leaky", "W", r"\sum_t \frac{1}{2}\operatorname{diag}(\tanh'(a_t)) \frac{\partial L}{\partial h_t} h_{t-1}^\top"),
    ("linear", None, r"\frac{\partial L}{\partial h_t} = c_t + J_{t+1}^\top c_{t+1} + \sum_{s=t+2}^{T} (J_s \cdots J_{t+1})^\top c_s, \quad t \le T-1"),
    ("elman", "dh/dh0", r"J_t J_{t-1} \cdots J_1"),
    ("elman", "dh/dh0", r"\prod_{j=t}^{1} J_j"),
    ("elman", "h0", r"(J_T J_{T-1} \cdots J_1)^\top c_T + \sum_{s=1}^{T-1} (J_s \cdots J_1)^\top c_s"),
    ("elman", "W_hh", r"\sum_{i=1}^{T} \sum_{t=i}^{T} c_t^\top \prod_{j=i+1}^{t} J_j A_i"),
    ("elman", "h", r"\sum_{s \ge t} \prod_{j=t+1}^{s} J_j^\top c_s"),
    ("elman", "W_hh", r"\sum_{1 \le i \le t \le T} c_t^\top (J_t \cdots J_{i+1}) A_i"),
    ("elman", "W_hh", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} \frac{\partial L}{\partial W_{hh}^{(t)}}"),
    # more spellings
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} \left(\frac{\partial L}{\partial h_t} \circ (1-h_t\circ h_t)\right) h_{t-1}^{T}"),
    ("elman", None, r"$\frac{dL}{dW_{hh}}=\sum_{t=1}^{T}\operatorname{diag}\big(1-h_t^{2}\big)\,\frac{dL}{dh_t}\,h_{t-1}^{\intercal}$"),
    ("elman", None, r"\[ \frac{\partial\mathcal L}{\partial \mathbf W_{hh}}=\sum_{t=1}^{T}\boldsymbol\delta_t\,\mathbf h_{t-1}^{\mathsf T} \]"),
    ("elman", None, "dL/dW_hh = Sum(delta_t @ h_{t-1}.T, (t, 1, T))"),
    ("elman", None, "dL/dW_hh = sum_{t=1}^T delta[t] h[t-1]^T"),
    ("elman", "W_hh", "Sum(diag(1 - h_t**2) * dL/dh_t * h_{t-1}^T, (t,1,T))"),
    ("elman", "W_hh", "sum(diag(tanh'(a[t])) @ dL/dh[t] @ h[t-1].T for t in range(1, T+1))"),
    ("elman", "h", "λ_t = W_qhᵀ ∂L/∂o_t + W_hhᵀ (λ_{t+1} ⊙ (1 − h_{t+1}²))"),
    ("elman", None, "∂h_t/∂h_{t-1} = diag(1 − h_t²) W_hh"),
    ("elman", "dh/dW_hh", "∂h_t/∂W_hh = A_t + J_t ∂h_{t-1}/∂W_hh"),
    ("elman", "dh/dW_hh", "dh_t/dW_hh = A_t + Sum(Prod(J_j, (j, t, i+1)) * A_i, (i, 1, t-1))"),
    ("elman", "dh/dW_hh", "dh_t/dW_hh = A_t + Sum(Prod(J_j, (j, i+1, t)) * A_i, (i, 1, t-1))"),
    ("elman", "∂h_t/∂W_hh", r"\frac{\partial h_t}{\partial W_{hh}} = \sum_{i=1}^{t} \frac{\partial h_t}{\partial h_i} \frac{\partial^+ h_i}{\partial W_{hh}}"),
    ("elman", None, r"\frac{\partial L}{\partial h_0} = J_1^\top J_2^\top \cdots J_T^\top c_T + \sum_{t=1}^{T-1} J_1^\top \cdots J_t^\top c_t"),
    ("elman", None, r"\frac{\partial L}{\partial h_0} = \sum_{t=1}^{T} (J_t J_{t-1}\cdots J_1)^\top c_t"),
    ("elman", None, r"\frac{\partial L}{\partial h_0} = \sum_{t=1}^{T} \left(\prod_{k=1}^t J_k\right)^\top c_t"),
    ("elman", None, r"\frac{\partial L}{\partial h_0} = \sum_{t=1}^{T} \frac{\partial L_t}{\partial h_t}\frac{\partial h_t}{\partial h_0}"),
    ("elman", None, r"\frac{\partial L}{\partial x_t} = W_{hx}^\top \delta_t"),
    ("elman", None, r"\delta_t = \tanh'(a_t) \odot \lambda_t"),
    ("elman", None, r"\delta_t = (1-\tanh^2(a_t)) \odot \left[ W_{qh}^T \frac{\partial L}{\partial o_t} + W_{hh}^T \delta_{t+1}\right], \quad t = T-1, \ldots, 1"),
    ("elman", None, r"\delta_T = (1-h_T^2) \odot W_{qh}^T \frac{\partial L}{\partial o_T}"),
    ("elman", None, r"\frac{\partial L}{\partial h_t} = \frac1{T} \sum_{s=t}^{T} \frac{\partial \ell_s}{\partial h_t}"),
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_{k=1}^T \sum_{t=k}^T \frac{\partial L_t}{\partial h_t} \frac{\partial h_t}{\partial h_k} \frac{\partial^+ h_k}{\partial W_{hh}}"),
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_{1\le k\le t\le T} \frac{\partial L_t}{\partial h_t} \left(\prod_{j=k+1}^t \frac{\partial h_j}{\partial h_{j-1}}\right) \frac{\partial^+ h_k}{\partial W_{hh}}"),
    ("linear", None, r"\frac{\partial L}{\partial h_t} = \left(\prod_{k=t+1}^{T} W_{hh}^\top\right) \frac{\partial L}{\partial h_T} + \sum_{s=t}^{T-1} (W_{hh}^\top)^{s-t} W_{qh}^\top \frac{\partial L}{\partial o_s}"),
    ("linear", None, r"\frac{\partial L}{\partial h_t} = \left(W_{hh}^\top\right)^{T-t} W_{qh}^\top \frac{\partial L}{\partial o_T} + \sum_{s=t}^{T-1} (W_{hh}^\top)^{s-t} W_{qh}^\top \frac{\partial L}{\partial o_s}"),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{j=k}^{t-1} \frac{\partial h_{j+1}}{\partial h_{j}}"),
    ("elman", None, r"\frac{\partial h_T}{\partial h_1} = \frac{\partial h_T}{\partial h_{T-1}} \cdots \frac{\partial h_2}{\partial h_1}"),
    ("elman", None, r"\frac{\partial h_3}{\partial h_1} = \frac{\partial h_3}{\partial h_{2}} \frac{\partial h_2}{\partial h_1}"),
    ("elman", None, r"\frac{\partial h_3}{\partial h_1} = J_3 J_2"),
    ("gru", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(z_t) + \operatorname{diag}(h_{t-1}-n_t)\operatorname{diag}(z_t\odot(1-z_t))W_{zh} + \operatorname{diag}(1-z_t)\operatorname{diag}(1-n_t^2)\left(\operatorname{diag}(r_t) W_{nh} + \operatorname{diag}(W_{nh}h_{t-1}+b_{nh})\operatorname{diag}(r_t\odot(1-r_t))W_{rh}\right)"),
    ("gru", None, r"\frac{\partial L}{\partial n_t} = \frac{\partial L}{\partial h_t} \odot (1 - z_t)"),
    ("lstm", None, r"\frac{\partial c_t}{\partial c_{t-1}} = \operatorname{diag}(f_t)"),
    ("lstm", None, r"\frac{\partial L}{\partial o_t} = \frac{\partial L}{\partial h_t} \odot \tanh(c_t)"),
    ("lstm", None, r"\frac{\partial L}{\partial W_{fh}} = \sum_t \left(\frac{\partial L}{\partial c_t} \odot c_{t-1} \odot f_t \odot (1-f_t)\right) h_{t-1}^\top"),
    ("lstm", None, r"\frac{\partial L}{\partial W_{fx}} = \sum_t \left(\frac{\partial L}{\partial c_t} \odot c_{t-1} \odot \sigma'(W_{fx} x_t + W_{fh} h_{t-1} + b_f)\right) x_{t}^\top"),
    ("elman", "W_hh", r"L = \frac{1}{T} \sum_t \ell_t"),
]  # fmt: skip

# (cell, of, text, the names of the misprint that fit; None where no single change is expected)
WRONG = [
    # order of the Jacobians
    ("gru", "dh/dW_zh", r"A_t + \sum_{i=1}^{t-1} \left( J_{i+1} J_{i+2} \cdots J_t \right) A_i", {"wrong product order"}),
    ("elman", "dh/dh0", r"J_1 J_2 \cdots J_t", {"wrong product order"}),
    ("elman", "dh/dh0", r"\prod_{j=t}^{1} J_j^\top", None),
    ("elman", "h", r"\sum_{s=t}^{T} J_s^\top J_{s-1}^\top \cdots J_{t+1}^\top c_s", {"wrong product order"}),
    ("elman", None, r"J_t = W_{hh}\, \mathrm{diag}(\tanh'(a_t))", {"wrong product order"}),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{i=k+1}^{t} W_{hh} \text{diag}(1 - h_i^2)", {"wrong product order"}),
    # limits of products and sums
    ("gru", "dh/dW_zh", r"A_t + \sum_{i=1}^{t-1} \left( \prod_{j=i}^{t} J_j \right) A_i", {"product begins at the wrong step"}),
    ("elman", "dh/dW_hh", r"A_t + \sum_{i=1}^{t-1} \left( \prod_{j=i+1}^{t-1} J_j \right) A_i", {"product ends at the wrong step"}),
    ("elman", "dh/dW_hh", r"A_t + \sum_{i=1}^{t} \left( \prod_{j=i+1}^{t} J_j \right) A_i", {"sum ends at the wrong step"}),
    ("elman", "dh/dW_hh", r"\sum_{i=1}^{t-1} (J_t \cdots J_{i+1}) A_i", {"sum ends at the wrong step", "missing term"}),
    ("elman", "dh/dW_hh", r"A_t + \sum_{i=2}^{t-1} (J_t \cdots J_{i+1}) A_i", {"sum begins at the wrong step"}),
    ("linear", "W_hh", r"\sum_{t=2}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"sum begins at the wrong step", "initial state"}),
    ("linear", "W_hh", r"\sum_{t=1}^{T-1} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"sum ends at the wrong step"}),
    ("linear", "h", r"\sum_{i=1}^{T} (W_{hh}^\top)^{i-t} W_{qh}^\top \frac{\partial L}{\partial o_i}", {"sum begins at the wrong step"}),
    ("linear", "h", r"\sum_{i=t+1}^{T} (W_{hh}^\top)^{i-t} W_{qh}^\top \frac{\partial L}{\partial o_i}", {"sum begins at the wrong step"}),
    ("linear", "h", r"\sum_{i=1}^{T} (W_{hh}^\top)^{T-i} W_{qh}^\top \frac{\partial L}{\partial o_{T+t-i}}", {"sum begins at the wrong step"}),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{j=k}^{t} \frac{\partial h_j}{\partial h_{j-1}}", {"product begins at the wrong step"}),
    ("wildml", "W", r"\frac{\partial E_3}{\partial W} = \sum_{k=0}^{2} \frac{\partial E_3}{\partial s_3}\frac{\partial s_3}{\partial s_k}\frac{\partial s_k}{\partial W}", {"sum ends at the wrong step"}),
    # transposes
    ("linear", "h", r"\frac{\partial L}{\partial h_t} = W_{hh} \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_t}", {"missing transpose"}),
    ("linear", "h", r"\frac{\partial L}{\partial h_t} = W_{hh}^\top \frac{\partial L}{\partial h_{t+1}} + W_{qh} \frac{\partial L}{\partial o_t}", {"missing transpose"}),
    ("linear", "h", r"\sum_{i=t}^{T} W_{hh}^{T-i} W_{qh}^\top \frac{\partial L}{\partial o_{T+t-i}}", {"missing transpose"}),
    ("linear", None, r"\frac{\partial L}{\partial h_T} = W_{qh} \frac{\partial L}{\partial o_T}", {"missing transpose"}),
    ("gru", None, r"\lambda_t = c_t + J_{t+1} \lambda_{t+1}", {"missing transpose"}),
    ("elman", None, r"J_t = \mathrm{diag}(\tanh'(a_t))\, W_{hh}^\top", {"extra transpose"}),
    ("elman", None, r"\nabla_{h^{(t)}} L = W_{hh} \operatorname{diag}(1-(h^{(t+1)})^2) (\nabla_{h^{(t+1)}} L) + W_{qh}^\top (\nabla_{o^{(t)}} L)", {"missing transpose"}),
    ("linear", "W_hh", r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}", {"missing transpose"}),
    ("gru", "h0", r"J_1 \lambda_1", {"missing transpose"}),
    # exponents
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{i-t} W_{qh}^\top \frac{\partial L}{\partial o_{T+t-i}}", {"wrong exponent", "wrong step"}),
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{T-i} W_{qh}^\top \frac{\partial L}{\partial o_i}", {"wrong exponent", "wrong step"}),
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{i-t+1} W_{qh}^\top \frac{\partial L}{\partial o_i}", {"wrong exponent"}),
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{t-i} W_{qh}^\top \frac{\partial L}{\partial o_i}", {"wrong exponent"}),
    ("linear", None, r"\frac{\partial h_t}{\partial h_k} = W_{hh}^{t-k+1}", {"wrong exponent"}),
    ("linear", "h", r"\sum_{i=t}^{T} (W_{hh}^\top)^{T-i} W_{qh}^\top \frac{\partial L}{\partial o_{T-i}}", {"wrong step"}),
    # steps
    ("linear", "W_hh", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_t^\top", {"wrong step"}),
    ("linear", "W_hx", r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} x_{t-1}^\top", {"wrong step"}),
    ("linear", "W_hx", "Sum(dL/dh[t] * x[t+1].T, (t, 1, T))", {"wrong step"}),
    ("linear", "W_qh", r"\sum_t \frac{\partial L}{\partial o_t} h_{t-1}^\top", {"wrong step"}),
    ("linear", "h", r"W_{hh}^\top \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_{t+1}}", {"wrong step"}),
    ("gru", None, r"\lambda_t = c_t + J_{t+1}^\top \lambda_t", {"wrong step"}),
    ("gru", None, r"\lambda_t = c_t + J_t^\top \lambda_{t+1}", {"wrong step"}),
    ("elman", "dh/dW_hh", r"A_t + J_{t-1} \frac{\partial h_{t-1}}{\partial W_{hh}}", {"wrong step"}),
    ("elman", "W_hh", r"\sum_{t=1}^{T} \operatorname{diag}(1 - h_{t-1}^2) \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"wrong step"}),
    ("elman", "h", r"W_{hh}^\top \operatorname{diag}(1 - h_t^2) \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_t}", {"wrong step"}),
    ("elman", "W_hh", r"\sum_t \tanh'(h_t) \odot \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"wrong letter", "missing prime"}),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{i=k+1}^{t} W_{hh}^T \cdot \text{diag}(\sigma'(h_{i-1}))", None),
    ("lstm", "c", r"\frac{\partial L}{\partial h_t} \odot o_t \odot (1 - \tanh^2(c_t)) + \frac{\partial L}{\partial c_{t+1}} \odot f_t", {"wrong step"}),
    ("lstm", None, r"\frac{\partial L}{\partial f_t} = \frac{\partial L}{\partial c_t} \odot c_t", {"wrong step"}),
    # factors, signs, terms
    ("linear", "h", r"\sum_{s=t}^{T} (W_{hh}^\top)^{s-t} W_{qh}^\top (o_s - y_s)", {"missing factor 1/T"}),
    ("linear", "W_hh", r"\frac{1}{T} \sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"extra factor 1/T"}),
    ("linear", "W_hh", r"T \sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"missing factor 1/T"}),
    ("linear", None, r"\frac{\partial L}{\partial o_t} = \frac{\partial \ell(o_t, y_t)}{\partial o_t}", {"missing factor 1/T"}),
    ("linear", None, r"\frac{\partial L}{\partial o_t} = \frac{2}{T} (o_t - y_t)", {"extra factor 2"}),
    ("linear", None, r"\frac{\partial L}{\partial o_t} = \frac{1}{T} (y_t - o_t)", {"wrong sign"}),
    ("linear", "W_hh", r"-\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"wrong sign"}),
    ("elman", "W_hh", r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"missing slope"}),
    ("elman", "b_h", r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t}", {"missing slope"}),
    ("elman", "W_hh", r"\sum_{t=1}^{T} \operatorname{diag}(1 - h_t) \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"missing square"}),
    ("elman", "W_hh", r"\sum_{t=1}^{T} \operatorname{diag}(1 + h_t^2) \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"wrong sign"}),
    ("elman", "W_hh", r"\sum_t \operatorname{diag}(1 - h_t^2)\, \delta_t h_{t-1}^\top", {"wrong letter", "extra factor"}),
    ("elman", None, r"\frac{\partial h_t}{\partial h_{t-1}} = W_{hh}", {"missing slope"}),
    ("linear", "h", r"W_{hh}^\top \frac{\partial L}{\partial h_{t+1}}", {"missing term"}),
    ("gru", None, r"\lambda_t = J_{t+1}^\top \lambda_{t+1}", {"missing term"}),
    ("gru", "dh/dW_zh", r"J_t \frac{\partial h_{t-1}}{\partial W_{zh}}", {"missing term"}),
    ("gru", "dh/dW_zh", r"A_t", {"missing term"}),
    ("linear", "W_hh", r"\frac{\partial L}{\partial h_t} h_{t-1}^\top", {"missing sum"}),
    ("gru", "W_zh", r"\sum_t c_t^\top A_t", {"wrong letter"}),
    ("gru", "W_zh", r"\sum_t \lambda_t^\top \frac{\partial h_t}{\partial W_{zh}}", {"counted twice", "wrong letter"}),
    ("linear", "W_hh", r"\sum_{t} h_{t-1} \left(\frac{\partial L}{\partial h_t}\right)^\top", {"outer product swapped"}),
    ("linear", "W_hx", "Sum(outer(x[t], dL/dh[t]), (t, 1, T))", {"outer product swapped"}),
    ("linear", "W_hx", r"\sum_{t} \frac{\partial L}{\partial h_t} h_{t-1}^\top", {"wrong letter"}),
    ("linear", "x", r"W_{hh}^\top \frac{\partial L}{\partial h_t}", {"wrong letter"}),
    ("elman", "W_hh", r"\sum_{t=1}^{T} \frac{\partial \ell(o_t, y_t)}{\partial h_t} \frac{\partial h_t}{\partial W_{hh}}", {"missing factor 1/T"}),
    ("elman", "b_q", r"\sum_{t=1}^T (o_t - y_t)", {"missing factor 1/T"}),
    ("elman_charlm", None, r"\frac{\partial L}{\partial o_t} = \frac{1}{T} (o_t - y_t)", None),
    ("elman_charlm", None, r"\frac{\partial L}{\partial o_t} = \hat{y}_t - y_t", {"missing factor 1/T"}),
    ("scalar", "w", r"\frac{1}{T}\sum_{t=1}^{T} (h_t - y_t) \sum_{i=1}^{t} w^{t-i} h_i", {"wrong step"}),
    ("scalar", "dh/dw", r"t w^{t-1} h_0", None),
    ("gru", None, r"\frac{\partial L}{\partial z_t} = \frac{\partial L}{\partial h_t} \odot (n_t - h_{t-1})", {"wrong sign"}),
    ("gru", "W_zh", "Sum((dL/dz[t] * z[t]) * h[t-1].T, (t, 1, T))", None),
    ("gru", None, r"\frac{\partial L}{\partial r_t} = \frac{\partial L}{\partial n_t} \odot (1 - n_t^2) \odot (W_{nh} h_{t-1})", None),
    ("lstm", None, r"\frac{\partial L}{\partial c_t} = \frac{\partial L}{\partial c_{t+1}} \odot f_{t+1}", None),
    ("lstm", None, r"\frac{\partial L}{\partial i_t} = \frac{\partial L}{\partial c_t} \odot i_t", {"wrong letter"}),
    ("lstm", "b_o", r"\sum_t \frac{\partial L}{\partial h_t} \odot \tanh(c_t) \odot (1 - o_t)", None),
    ("leaky", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(1 - \tanh(a_t)^2) W", None),
    ("pascanu", None, r"\frac{\partial x_t}{\partial x_k} = \prod_{i=k+1}^{t} W_{rec} \operatorname{diag}(\sigma'(x_i))", {"wrong step"}),
    # as printed in a well-known paper: transposed, but in the order of the untransposed factors
    ("pascanu", None, r"\frac{\partial \mathbf{x}_t}{\partial \mathbf{x}_k} = \prod_{t \geq i > k} \mathbf{W}_{rec}^T \operatorname{diag}(\sigma'(\mathbf{x}_{i-1}))", {"wrong product order", "extra transpose"}),
    ("pascanu", "W_rec", r"\frac{\partial \mathcal{E}_t}{\partial \theta} = \sum_{1 \leq k < t} \left( \frac{\partial \mathcal{E}_t}{\partial x_t} \frac{\partial x_t}{\partial x_k} \frac{\partial^+ x_k}{\partial \theta} \right)", {"sum ends at the wrong step"}),
    ("elman", None, r"(W_{hh}^\top \lambda_{t+1}) \odot (1 - h_{t+1}^2) + c_t = \lambda_t", None),
    ("elman", "h", r"(W_{hh}^\top \frac{\partial L}{\partial h_{t+1}}) \odot (1 - h_{t+1}^2) + W_{qh}^\top \frac{\partial L}{\partial o_t}", None),
    ("linear", None, r"\frac{\partial L}{\partial h_t} = W_{hh}^\top \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_t} = \sum_{i=t}^{T} (W_{hh}^\top)^{T-t} W_{qh}^\top \frac{\partial L}{\partial o_{T+t-i}}", {"wrong exponent"}),
    # more of the same mistakes
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^T\sum_{k=1}^t \frac{\partial \ell_t}{\partial h_t}\frac{\partial h_t}{\partial h_k}\frac{\partial^+ h_k}{\partial W_{hh}}", None),
    ("elman", "dh/dW_hh", "dh_t/dW_hh = A_t + Sum(Prod(J_j, (j, i, t)) * A_i, (i, 1, t-1))", None),
    ("elman", None, r"\frac{\partial L}{\partial h_0} = \sum_{t=1}^{T} J_t^\top \cdots J_1^\top c_t", None),
    ("elman", None, r"\frac{\partial L}{\partial x_t} = W_{hx} \delta_t", None),
    ("elman", None, r"\frac{\partial L}{\partial x_t} = W_{hx}^\top \delta_{t+1}", None),
    ("elman", None, r"\delta_T = W_{qh}^T \frac{\partial L}{\partial o_T}", None),
    ("elman", None, r"\frac{\partial L}{\partial h_t} = \frac{1}{T} \frac{\partial \ell_t}{\partial h_t}", None),
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_t \frac{\partial L_t}{\partial h_t} \frac{\partial^+ h_t}{\partial W_{hh}}", None),
    ("elman", None, r"\frac{\partial L}{\partial W_{hh}} = \sum_{k=1}^T \sum_{t=1}^k \frac{\partial L_t}{\partial h_t} \frac{\partial h_t}{\partial h_k} \frac{\partial^+ h_k}{\partial W_{hh}}", None),
    ("linear", None, r"\frac{\partial L}{\partial h_t} = \left(W_{hh}^\top\right)^{T-t} \frac{\partial L}{\partial h_T}", None),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{j=k+1}^{t} \frac{\partial h_{j-1}}{\partial h_{j}}", None),
    ("elman", None, r"\frac{\partial h_t}{\partial h_k} = \prod_{j=k}^{t-1} \frac{\partial h_j}{\partial h_{j-1}}", None),
    ("elman", None, r"J_3 J_2 = \frac{\partial h_3}{\partial h_{1}} \frac{\partial h_2}{\partial h_1}", None),
    ("elman", None, r"\frac{\partial h_3}{\partial h_1} = J_2 J_3", None),
    ("gru", None, r"\frac{\partial h_t}{\partial h_{t-1}} = \operatorname{diag}(1-z_t) + \operatorname{diag}(h_{t-1}-n_t)\operatorname{diag}(z_t\odot(1-z_t))W_{zh} + \operatorname{diag}(1-z_t)\operatorname{diag}(1-n_t^2)\left(\operatorname{diag}(r_t) W_{nh} + \operatorname{diag}(W_{nh}h_{t-1}+b_{nh})\operatorname{diag}(r_t\odot(1-r_t))W_{rh}\right)", None),
    ("gru", None, r"\frac{\partial L}{\partial n_t} = \frac{\partial L}{\partial h_t} \odot z_t", None),
    ("lstm", None, r"\frac{\partial c_t}{\partial c_{t-1}} = \operatorname{diag}(i_t)", None),
    ("lstm", None, r"\frac{\partial L}{\partial o_t} = \frac{\partial L}{\partial h_t} \odot c_t", None),
    ("lstm", None, r"\frac{\partial L}{\partial W_{fh}} = \sum_t \left(\frac{\partial L}{\partial c_t} \odot c_{t-1} \odot f_t \odot (1-f_t)\right) h_{t}^\top", None),
]  # fmt: skip

# with L = Σ_t ℓ_t: (right, cell, text)
SUMS = [
    (True, "elman", r"\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^T\sum_{k=1}^t \frac{\partial \ell_t}{\partial h_t}\frac{\partial h_t}{\partial h_k}\frac{\partial^+ h_k}{\partial W_{hh}}"),
    (True, "elman", r"\frac{\partial L}{\partial b_q} = \sum_t (o_t-y_t)"),
    (True, "elman", r"\nabla_{o^{(t)}} L = o^{(t)} - y^{(t)}"),
    (True, "linear", r"\frac{\partial L}{\partial W_{qh}} = \sum_t (o_t - y_t) h_t^T"),
]  # fmt: skip


def report(cell, of, text, **more):
    return bv.check_formula(text, CELLS[cell], **({} if of == "" else {"of": of}), **more)


def name(row):
    return f"{row[0]} {re.sub(r'[^A-Za-z0-9_=]+', ' ', row[2])[:60].strip()}"


def distinct(rows):
    """Each row with an identifier of its own."""
    return [pytest.param(*row, id=f"{k} {name(row)}") for k, row in enumerate(rows)]


@pytest.mark.parametrize(("cell", "of", "text"), distinct(RIGHT))
def test_right_formulas_are_verified(cell, of, text):
    found = report(cell, of, text)
    assert found.verdict == "verified", str(found)
    assert found.counterexample is None and found.misprint is None and found.findings == ()
    assert {e.how for e in found.evidence} <= {"proved", "checked", "tested"}


@pytest.mark.parametrize(("cell", "of", "text", "misprints"), distinct(WRONG))
def test_wrong_formulas_are_refuted_with_a_counterexample_and_the_misprint(cell, of, text, misprints):
    found = report(cell, of, text)
    assert found.verdict == "refuted", str(found)
    example = found.counterexample
    assert example is not None
    assert example.reason or example.claimed != example.right
    assert found.findings
    if misprints is not None:
        assert found.misprint is not None and found.misprint.name in misprints, str(found)
        assert found.misprint.sentence in found.diagnosis


@pytest.mark.parametrize(("right", "cell", "text"), SUMS)
def test_with_the_sum_as_the_loss(right, cell, text):
    found = report(cell, None, text, reduction="sum")
    assert found.verdict == ("verified" if right else "refuted"), str(found)


def test_there_are_enough_of_both():
    assert len(RIGHT) >= 40
    assert len(WRONG) >= 60
    assert sum(row[3] is not None for row in WRONG) >= 60


# ---- counterexamples, by hand ----


def loss(rec, arrays):
    """The loss by the author's own function."""
    steps = next(iter(arrays[n] for n in (*rec.inputs, *rec.targets))).shape[0]
    return run(rec, {**arrays, "weights": np.full((steps, 1), 1 / steps)})[0]


def difference(rec, arrays, name, index):
    """One entry of the gradient by a central difference."""
    ends = []
    for by in (1e-5, -1e-5):
        moved = {k: v.astype(float) if k not in rec.onehot else v for k, v in arrays.items()}
        moved[name][index] += by
        ends.append(loss(rec, moved))
    return (ends[0] - ends[1]) / 2e-5


GRADIENTS = [
    row for row in WRONG if row[1] in ("W_hh", "W_hx", "W_qh", "W_zh", "b_h", "b_q", "b_o", "h0", "w")
]


@pytest.mark.parametrize(("cell", "of", "text"), distinct([row[:3] for row in GRADIENTS]))
def test_what_a_counterexample_calls_right_is_the_gradient(cell, of, text):
    rec, example = CELLS[cell], report(cell, of, text).counterexample
    if example.right is None:
        pytest.skip("sizes do not fit: there is no number")
    assert all(np.issubdtype(v.dtype, np.integer) for v in example.arrays.values())
    index = (0, *example.index) if of == "h0" else example.index
    assert difference(rec, example.arrays, of, index) == pytest.approx(float(example.right), abs=1e-6)


def test_a_counterexample_of_a_linear_cell_is_exact_and_can_be_recomputed():
    """h_t for h_{t-1}, by three lines of NumPy on integers."""
    text = r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_t^\top"
    e = report("linear", "W_hh", text).counterexample
    a = {k: v[:, 0] if k in ("x", "y") else v for k, v in e.arrays.items()}
    h = [a["h0"][0]]
    for x in a["x"]:
        h.append(a["W_hx"] @ x + a["W_hh"] @ h[-1])
    adjoint, claimed, right = 0 * h[0], 0, 0
    for t in range(e.T, 0, -1):
        adjoint = a["W_hh"].T @ adjoint + a["W_qh"].T @ (a["W_qh"] @ h[t] - a["y"][t - 1])
        claimed, right = claimed + np.outer(adjoint, h[t]), right + np.outer(adjoint, h[t - 1])
    assert isinstance(e.claimed, Fraction) and isinstance(e.right, Fraction)
    assert (e.claimed, e.right) == (Fraction(int(claimed[e.index]), e.T), Fraction(int(right[e.index]), e.T))
    assert e.claimed != e.right


def test_a_counterexample_of_an_elman_cell_has_a_closed_form_that_is_its_number():
    text = r"\sum_{t=1}^{T} \frac{\partial L}{\partial h_t} h_{t-1}^\top"
    e = report("elman", "W_hh", text).counterexample
    assert (e.T, set(e.sizes.values())) == (1, {1})
    closed, decimal = e.right_text.split(" ≈ ")
    value = closed.replace("^", "**").replace("tanh(1) - tanh(1)**3", "0.31985000")
    assert float(value) == pytest.approx(e.right, abs=1e-6)
    assert float(decimal) == pytest.approx(e.right, abs=1e-5)
    assert np.tanh(1) - np.tanh(1) ** 3 == pytest.approx(e.right, abs=1e-14)


def test_the_smallest_counterexample_of_a_missing_transpose_needs_two_units():
    text = r"W_{hh} \frac{\partial L}{\partial h_{t+1}} + W_{qh}^\top \frac{\partial L}{\partial o_t}"
    e = report("linear", "h", text).counterexample
    assert (e.T, e.sizes["n"], e.step) == (2, 2, 1)
