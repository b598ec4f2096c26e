"""fedcxr's own hospital, which also writes down when it trained."""

from __future__ import annotations

from clients.app import hospital_app
from clients.hospital import Hospital
from clients.member import Member
from experiments.peers.timeline import Timeline
from fedcxr.training.trainer import TrainingReport
from fedcxr.update.layout import Vector


class _Watched(Hospital):
    def _train_from(
        self, base: Vector, member: Member, round_number: int
    ) -> tuple[TrainingReport, int, Vector]:
        report, samples, vector = super()._train_from(base, member, round_number)
        Timeline.of_this_process().trained(round_number, self.name, report.seconds)
        return report, samples, vector


app = hospital_app(_Watched)
