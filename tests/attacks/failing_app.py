"""A hospital's app in which every training raises an error that names a patient, where Ray can import it."""

from typing import NoReturn

from clients.app import hospital_app
from clients.hospital import Hospital

PATIENT = "Mustermann"


class Failing(Hospital):
    """Fails in training, as a library that is not fedcxr's does."""

    def _train_from(self, *arguments: object) -> NoReturn:  # type: ignore[override]
        raise KeyError(f"/archive/{PATIENT}/1.dcm")


app = hospital_app(Failing)
