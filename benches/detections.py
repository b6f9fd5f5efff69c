"""Compares the detections of a quantized model with those of the float model it was made of.

The float model's detections are taken for the truth, as a validation set's labels are: average precision (AP) then says how much of a
detector is left, in the field's own measure, with no labels of people's. AP50 counts a detection as right where its class is the truth's and
the boxes overlap by half (intersection over union); AP50-95 is the mean over ten overlaps from 0.50 to 0.95. Both are interpolated at 101
recalls and averaged over classes, as COCO's are. The truth is what a user would see, detections above `THRESHOLD`; the quantized model's are
ranked from `LOWEST` on, as validation does. A model compared with itself has 1.
"""

import numpy as np

# A detection is shown from this score on.
THRESHOLD = 0.2
# The quantized model's detections are ranked from this score on.
LOWEST = 0.01
# Of two boxes of one class that overlap by more only the better one is a detection.
SUPPRESS = 0.45
# The overlaps of AP50-95; AP50 takes the first.
OVERLAPS = np.arange(0.5, 0.96, 0.05)
RECALLS = np.linspace(0, 1, 101)


def detections(output, lowest=LOWEST):
    """The [class, score, box by its corners] of an image, best first, from the (1, 4 + classes, boxes) output of a YOLOv8."""
    boxes, scores = output[0, :4].T.astype(np.float64), output[0, 4:].T
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    best, label = scores.max(1), scores.argmax(1)
    left = [i for i in np.argsort(-best, kind="stable") if best[i] >= lowest]
    kept = []
    while left:
        first, *left = left
        kept.append([int(label[first]), float(best[first]), corners[first].tolist()])
        if left:
            overlap = overlaps(corners[first], corners[left])
            left = [i for i, o in zip(left, overlap) if label[i] != label[first] or o < SUPPRESS]
    return kept


def overlaps(box, others):
    """Intersection over union of a box with others, by their corners."""
    box, others = np.asarray(box), np.asarray(others)
    sides = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    common = sides.prod(1)
    return common / (area(box) + area(others) - common + 1e-9)


def paired(truth, found, least):
    """For each detection of `found`, best first, the index of the one of `truth` of its class that it overlaps most of those that are left,
    by `least` at least; else None."""
    left = set(range(len(truth)))
    pairs = []
    for label, _, box in found:
        alike = [i for i in left if truth[i][0] == label]
        match = None
        if alike:
            overlap = overlaps(box, [truth[i][2] for i in alike])
            if overlap.max() >= least:
                match = alike[int(overlap.argmax())]
                left.discard(match)
        pairs.append(match)
    return pairs


def compared(exact, quantized):
    """What one image tells, from the detections of the float model and the quantized one, in numbers that add up over images:

    truth       the classes of the float model's detections
    found       for each detection of the quantized model its class, its score and a bit for each of `OVERLAPS` at which it is right
    counts      detections above `THRESHOLD` of the float model, of the quantized one, and common to both
    differing   for each that only one model has above `THRESHOLD`: its score there, and the score that the other model gives it, 0 for none
    """
    both = exact, quantized
    shown = [[d for d in side if d[1] >= THRESHOLD] for side in both]
    right = [paired(shown[0], both[1], least) for least in OVERLAPS]
    bits = [sum(1 << t for t, pairs in enumerate(right) if pairs[i] is not None) for i in range(len(both[1]))]
    differing, common = [], 0
    for side, (mine, theirs) in enumerate([(shown[0], both[1]), (shown[1], both[0])]):
        of = dict((match, i) for i, match in enumerate(paired(mine, theirs, OVERLAPS[0])) if match is not None)
        others = [theirs[of[i]][1] if i in of else 0.0 for i in range(len(mine))]
        differing += [[d[1], other] for d, other in zip(mine, others) if other < THRESHOLD]
        common += sum(other >= THRESHOLD for other in others) if side == 0 else 0
    return {"truth": [d[0] for d in shown[0]], "found": [[d[0], d[1], b] for d, b in zip(both[1], bits)],
            "counts": [len(shown[0]), len(shown[1]), common], "differing": differing}


def average_precision(images):
    """AP50 and AP50-95 over what `compared` gives of images."""
    truth = [label for image in images for label in image["truth"]]
    by_class = []
    for label in sorted(set(truth)):
        found = sorted((-score, bits) for image in images for c, score, bits in image["found"] if c == label)
        total = truth.count(label)
        row = []
        for t in range(len(OVERLAPS)):
            right = np.array([bits >> t & 1 for _, bits in found], dtype=np.float64)
            hits = right.cumsum()
            recall, precision = hits / total, hits / np.arange(1, len(right) + 1)
            # The precision at a recall is the best of any recall from there on.
            envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
            at = np.searchsorted(recall, RECALLS - 1e-12)
            row.append(np.mean([envelope[i] if i < len(envelope) else 0.0 for i in at]))
        by_class.append(row)
    if not by_class:
        return float("nan"), float("nan")
    table = np.array(by_class)
    return float(table[:, 0].mean()), float(table.mean())
