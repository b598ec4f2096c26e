"""The kinds of form, a row each."""

from __future__ import annotations

from fedcxr.update.forms.form import Form
from fedcxr.update.forms.packed import Packed
from fedcxr.update.forms.plain import Plain
from fedcxr.update.forms.short import Short

FORMS: dict[str, Form] = {form.name: form for form in (Plain(), Packed(), Short())}
"""By the word of ``federation.update_form``."""


def form_named(name: str) -> Form:
    """The form that a configuration names."""
    return FORMS[name]
