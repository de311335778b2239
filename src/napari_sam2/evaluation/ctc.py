"""SEG and TRA of the Cell Tracking Challenge, from pixel counts per frame.

SEG: Maška et al., Bioinformatics 2014. TRA: acyclic oriented graph matching (AOGM), Matula et al.,
PLoS ONE 2015, with the weights the challenge publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from napari_sam2.evaluation.overlap import Overlap
from napari_sam2.export.ctc import Track

Node = tuple[int, int]  # frame, id

# What one repair of the predicted graph costs.
SPLIT_NODE, ADD_NODE, DELETE_NODE = 5.0, 10.0, 1.0
DELETE_EDGE, ADD_EDGE, CHANGE_EDGE = 1.0, 1.5, 1.0


def seg_score(overlaps: Sequence[Overlap]) -> float:
    """SEG: mean IoU of the true objects of all frames, 0 for those not found.

    Found means that one predicted object covers more than half of the true one.

    Parameters
    ----------
    overlaps
        One per frame, from `overlap(predicted, truth)`.
    """
    scores = []
    for one in overlaps:
        found = _cover(one)
        scores += [one.iou(found[t], t) if t in found else 0.0 for t in one.truth]
    return sum(scores) / len(scores) if scores else 1.0


def tra_score(
    overlaps: Sequence[Overlap],
    pred_tracks: Sequence[Track] | None = None,
    truth_tracks: Sequence[Track] | None = None,
) -> float:
    """TRA: 1 - the cost of repairing the predicted graph / the cost of drawing it from nothing.

    Parameters
    ----------
    overlaps
        One per frame, from `overlap(predicted, truth)`.
    pred_tracks, truth_tracks
        Where tracks divide (only `parent` is used); without them no track has a parent.

    Returns
    -------
    0..1; 1 for a perfect graph (and for an empty truth met by an empty prediction).
    """
    truth = _Graph.of([set(o.truth) for o in overlaps], truth_tracks or ())
    predicted = _Graph.of([set(o.predicted) for o in overlaps], pred_tracks or ())
    cost = _repair_cost(predicted, truth, overlaps)
    from_nothing = ADD_NODE * len(truth.nodes) + ADD_EDGE * len(truth.edges)
    if not from_nothing:
        return 0.0 if cost else 1.0
    return 1.0 - min(cost, from_nothing) / from_nothing


@dataclass(frozen=True)
class _Graph:
    """Detections as nodes; edges to the next detection, True where they are divisions."""

    nodes: set[Node]
    edges: dict[tuple[Node, Node], bool]

    @classmethod
    def of(cls, ids_per_frame: Sequence[set[int]], tracks: Sequence[Track]) -> _Graph:
        frames_of: dict[int, list[int]] = {}
        for frame, ids in enumerate(ids_per_frame):
            for i in ids:
                frames_of.setdefault(i, []).append(frame)
        edges = {
            ((a, i), (b, i)): False for i, frames in frames_of.items() for a, b in pairwise(frames)
        }
        for track in tracks:
            if track.id in frames_of and track.parent in frames_of:
                start = (frames_of[track.parent][-1], track.parent)
                edges[start, (frames_of[track.id][0], track.id)] = True
        return cls({(f, i) for i, frames in frames_of.items() for f in frames}, edges)


def _repair_cost(predicted: _Graph, truth: _Graph, overlaps: Sequence[Overlap]) -> float:
    partner = {
        (frame, t): (frame, p) for frame, one in enumerate(overlaps) for t, p in _cover(one).items()
    }
    covered: dict[Node, list[Node]] = {}
    for true_node, node in partner.items():
        covered.setdefault(node, []).append(true_node)
    # Only a node that stands for exactly one true node can have right or wrong edges.
    clean = {node: true_nodes[0] for node, true_nodes in covered.items() if len(true_nodes) == 1}
    drawn = {
        (clean[a], clean[b]): division
        for (a, b), division in predicted.edges.items()
        if a in clean and b in clean
    }
    wrong = sum(edge not in truth.edges for edge in drawn)
    missing = sum(edge not in drawn for edge in truth.edges)
    changed = sum(drawn.get(edge, kind) != kind for edge, kind in truth.edges.items())
    splits = sum(len(true_nodes) - 1 for true_nodes in covered.values())
    return (
        SPLIT_NODE * splits
        + ADD_NODE * (len(truth.nodes) - len(partner))
        + DELETE_NODE * (len(predicted.nodes) - len(covered))
        + DELETE_EDGE * wrong
        + ADD_EDGE * missing
        + CHANGE_EDGE * changed
    )


def _cover(one: Overlap) -> dict[int, int]:
    """Map each true id that is found to the predicted id that covers more than half of it."""
    return {t: p for (p, t), shared in one.shared.items() if 2 * shared > one.truth[t]}
