"""Signs that prose and code may hold beyond Latin letters, and LaTeX's names for them."""

_GREEK = """α alpha β beta γ gamma δ delta ε varepsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi
ρ rho σ sigma τ tau φ varphi χ chi ψ psi ω omega ϵ epsilon Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Φ Phi
Ψ Psi Ω Omega"""
_SYMBOLS = """→ rightarrow ← leftarrow ↔ leftrightarrow ⇒ Rightarrow ↦ mapsto ↑ uparrow ↓ downarrow × times · cdot ± pm
≈ approx ≠ neq ≤ leq ≥ geq ≪ ll ≫ gg ∼ sim ∝ propto ∞ infty ∂ partial ∇ nabla ∑ sum ∏ prod √ surd ∈ in ∉ notin
∩ cap ∪ cup ⊂ subset ⊆ subseteq ∀ forall ∃ exists ∘ circ ⊙ odot ⊕ oplus ⊗ otimes ⟨ langle ⟩ rangle ‖ Vert ′ prime
★ bigstar ☆ star ✓ checkmark ℓ ell ∗ ast"""
_WORDS = f"{_GREEK} {_SYMBOLS}".split()

SIGNS = {sign: rf"\ensuremath{{\{name}}}" for sign, name in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
SIGNS |= {
    "−": r"\ensuremath{-}",
    "✗": r"\ensuremath{\times}",
    "½": r"\textonehalf{}",
    "\u202f": r"\,",
    "\u2009": r"\,",
    "\u200b": r"\allowbreak{}",
    "\u2011": r"\mbox{-}",
    "ℝ": r"\ensuremath{\mathbb{R}}",
    "𝔼": r"\ensuremath{\mathbb{E}}",
    "ℒ": r"\ensuremath{\mathcal{L}}",
    **{sign: rf"\textsuperscript{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    "⁻": r"\textsuperscript{\textminus}",
    **{sign: rf"\textsubscript{{{digit}}}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    "₊": r"\textsubscript{+}",
    "∥": r"\ensuremath{\Vert}",
    "…": r"\ldots{}",
}
