"""What is said about a model that is damaged, or asks for what the evaluator does not compute."""

from __future__ import annotations

from edgekit.errors import ModelError


def damaged(what: str) -> ModelError:
    """The package does not follow its format."""
    return ModelError(
        f"damaged Core ML model: {what}", code="E_MODEL_LOAD", hint="copy or convert the model again"
    )


def unsupported(operator: str, why: str = "") -> ModelError:
    """The evaluator does not compute this operator, or not in this way."""
    detail = f" ({why})" if why else ""
    return ModelError(
        f"the evaluator of Core ML programs does not compute the operator '{operator}'{detail}",
        code="E_MIL_OPERATOR",
        hint="the model may run on a device all the same, but it cannot be verified on this host",
    )


def failed(operator: str, output: str, why: object) -> ModelError:
    """An operator that cannot be computed on what it was given."""
    return ModelError(f"{operator} '{output}' cannot be computed: {why}", code="E_MODEL_RUN")
