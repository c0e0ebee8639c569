"""Coverage: made-up faces whose gaps are known, and a slow, plain count as the oracle."""

from __future__ import annotations

import html.parser
import math

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.curate.coverage import Coverage, advise, charts_png, compare, html_report
from faceloom.curate.coverage.advice import pose_words
from faceloom.curate.coverage.charts import LIGHT, chart_svg, pose_maps
from faceloom.curate.coverage.comparison import grid
from faceloom.curate.measures import EXPRESSIONS, Traits
from faceloom.settings.curate import CoverageSettings

PARTS = [part.name for part in EXPRESSIONS]


def faces(yaw: object, pitch: object = 0.0, **parts: object) -> Traits:
    """Faces at rest, lit from the front, 300 pixels large, but for what is given."""
    yaw = np.atleast_1d(np.asarray(yaw, float))
    n = len(yaw)
    expression = np.zeros((n, len(PARTS)))
    light = np.tile([0.0, 0.0, 0.3], (n, 1))
    brightness, size = np.full(n, 0.5), np.full(n, 300.0)
    for name, value in parts.items():
        if name in PARTS:
            expression[:, PARTS.index(name)] = value
        elif name == "light":
            light[:] = value
        elif name == "brightness":
            brightness[:] = value  # type: ignore[call-overload]
        else:
            size[:] = value  # type: ignore[call-overload]
    pose = np.stack([yaw, np.broadcast_to(np.asarray(pitch, float), n)], 1)
    return Traits(pose, expression, light, brightness, size)


def look(src: Traits, dst: Traits, **settings: object) -> Coverage:
    return compare(
        src,
        dst,
        CoverageSettings(**settings),  # type: ignore[arg-type]
        progress=NullProgress(),
        cancel=Cancel(),
    )


FRONT = faces(np.linspace(-15, 15, 60))


def _random(seed: int, n: int, spread: float) -> Traits:
    rng = np.random.default_rng(seed)
    values = faces(rng.normal(0, spread, n), rng.normal(0, spread / 2, n))
    values.expression[:] = rng.uniform(0, 0.6, values.expression.shape)
    values.light[:] = rng.normal(0, 0.15, (n, 3))
    values.brightness[:] = rng.uniform(0.2, 0.8, n)
    values.size_px[:] = rng.uniform(100, 600, n)
    values.expression[rng.random(n) < 0.1] = np.nan
    values.light[rng.random(n) < 0.1] = np.nan
    values.pose[rng.random(n) < 0.05] = np.nan
    return values


def test_the_counts_are_those_of_a_plain_loop_over_all_pairs():
    src, dst = _random(1, 300, 14), _random(2, 350, 20)
    result = look(src, dst, enough=2, expression_tolerance=2.0)
    tolerances = [2 * part.tolerance for part in EXPRESSIONS]
    used = set()
    for i in range(len(dst)):
        counts = dict.fromkeys(("pose", "expression", "light", "both", "size", "brightness"), 0)
        for j in range(len(src)):
            distance = math.dist(dst.pose[i], src.pose[j])
            if distance <= 16:
                used.add(j)
            if not distance <= 8:
                continue
            counts["pose"] += 1
            expression = all(
                math.isnan(a) or abs(a - b) <= t
                for a, b, t in zip(dst.expression[i], src.expression[j], tolerances, strict=True)
            )
            light = math.dist(dst.light[i], src.light[j]) <= 0.2
            lit = light or bool(np.isnan(dst.light[i]).any())
            counts["expression"] += expression
            counts["light"] += light
            counts["both"] += expression and lit
            counts["size"] += src.size_px[j] >= 0.7 * dst.size_px[i]
            counts["brightness"] += abs(src.brightness[j] - dst.brightness[i]) <= 0.2
        assert result.near[i] == counts["pose"]
        for dimension in ("pose", "expression", "light", "size", "brightness"):
            assert result.covered[dimension][i] == (counts[dimension] >= 2), (i, dimension)
        assert result.together[i] == (counts["expression"] >= 2)
        assert result.together_lit[i] == (counts["both"] >= 2)
    assert set(np.flatnonzero(result.used)) == used
    assert 0.05 < result.score < result.share("pose") < 1


def test_left_is_where_the_nose_points_for_positive_yaw():
    result = look(FRONT, faces([40] * 20 + [0] * 60))
    (gap,) = advise(result).gaps
    assert (
        "turned 40° left" in gap.finding and "src never turns further than 14° left" in gap.finding
    )
    assert "the person's own right" in gap.shot and gap.share == pytest.approx(0.25)
    assert set(gap.faces) == set(range(20))
    # The map shows it on the left, the rows above are the heads that look up.
    need = result.grids["need"]
    assert np.argwhere(need).tolist() == [[5, 4]] and need[5, 4] == 20
    up_right = grid(np.array([[-31.0, 22.0]]), np.array([True]))
    assert np.argwhere(up_right).tolist() == [[3, 12]]


@pytest.mark.parametrize(
    ("dst", "words", "shot"),
    [
        (faces([-40] * 9), "never turns further than 14° right", "40° right"),
        (faces([0] * 9, 30), "never looks up", "looking 30° up"),
        (faces([0] * 9, -30), "never looks down", "looking 30° down"),
        (faces([0] * 9, mouth_open=0.8), "opens the mouth wider", "wide open mouth"),
        (faces([0] * 9, eyes_closed=0.9), "closes the eyes further", "closed eyes"),
        (faces([0] * 9, gaze_right=-25), "further to the picture's left", "picture's left"),
        (faces([0] * 9, light=(-0.4, 0, 0.3)), "more from the picture's left", "picture's left"),
        (faces([0] * 9, light=(0, -0.4, 0.3)), "more from above", "from above"),
        (faces([0] * 9, size=600.0), "about 300 pixels against dst's 600", "600 pixels"),
        (faces([0] * 9, brightness=0.1), "dst is darker", "darker footage"),
    ],
)
def test_each_lack_is_told_with_what_to_film(dst, words, shot):
    (gap,) = advise(look(FRONT, dst)).gaps
    assert words in gap.finding and shot in gap.shot and gap.share == 1


def test_the_shot_list_begins_with_what_most_faces_want():
    together = faces([40] * 10).joined(faces([0] * 30, smile=0.9)).joined(faces([0] * 60))
    gaps = advise(look(FRONT, together)).gaps
    assert [gap.share for gap in gaps] == [0.3, 0.1]
    assert [gap.dimension for gap in gaps] == ["expression", "pose"]


def test_an_expression_counts_only_at_the_pose_where_it_is():
    src = faces([0] * 20, mouth_open=0.7).joined(faces([25] * 20))
    result = look(src, faces([0] * 5 + [25] * 5, mouth_open=0.7))
    assert result.covered["expression"].tolist() == [True] * 5 + [False] * 5
    assert result.score == 0.5
    # And what src has only one by one is told as such.
    src = faces([0] * 20, mouth_open=0.7).joined(faces([0] * 20, smile=0.9))
    (gap,) = advise(look(src, faces([0] * 5, mouth_open=0.7, smile=0.9))).gaps
    assert "only one at a time" in gap.finding


def test_one_src_face_is_not_enough_but_a_src_of_one_face_is_judged():
    src = faces([0] * 10 + [30])
    assert not look(src, faces([30])).covered["pose"][0]
    assert look(src, faces([30]), enough=1).covered["pose"][0]
    assert look(faces([30]), faces([30])).covered["pose"][0]


def test_the_mirror_helps_where_it_may():
    result = look(faces([30] * 5), faces([-30] * 5, gaze_right=-20))
    assert result.share("pose") == 0 and result.pose_with_flip.all()
    assert any("random_src_flip" in line for line in advise(result).summary)
    flipped = look(faces([30] * 5, gaze_right=20), faces([-30] * 5, gaze_right=-20), flip_src=True)
    assert flipped.score == 1 and flipped.used.all()


def test_src_faces_that_serve_nobody_are_named():
    advice = advise(look(faces([0, 5, 50, -50, 17]), faces([0] * 10), enough=1))
    assert advice.unused.tolist() == [2, 3, 4]
    assert any(line.startswith("3 of src's 5 faces") for line in advice.summary)


def test_what_is_unknown_is_neither_asked_nor_offered():
    dst = faces([0] * 4)
    dst.expression[0] = np.nan
    dst.light[1] = np.nan
    dst.pose[2] = np.nan
    result = look(FRONT, dst)
    assert result.compared["pose"].tolist() == [True, True, False, True]
    assert result.compared["expression"].tolist() == [False, True, False, True]
    assert result.score == 1 and result.score_lit == 1
    blind = faces([0] * 4)
    blind.light[:] = np.nan
    blind.expression[:] = np.nan
    unknown = look(blind, faces([0] * 4, mouth_open=0.9))
    assert math.isnan(unknown.share("light")) and not advise(unknown).gaps
    with pytest.raises(InputError, match="no face of src has a known head pose"):
        nowhere = faces([0.0])
        nowhere.pose[:] = np.nan
        look(nowhere, dst)


def test_a_cancel_is_heard():
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        compare(FRONT, FRONT, CoverageSettings(), progress=NullProgress(), cancel=cancel)


@pytest.mark.parametrize(
    ("yaw", "pitch", "words"),
    [
        ((-3, 4), (0, 5), "facing the camera"),
        ((40, 60), (0, 5), "turned 40–60° left, about level"),
        ((-25, -25), (-20, -15), "turned 25° right, looking 15–20° down"),
        ((-30, 20), (0, 0), "turned between 30° right and 20° left, about level"),
    ],
)
def test_poses_in_words(yaw, pitch, words):
    at = np.linspace(0, 1, 201)
    pose = np.stack([yaw[0] + at * (yaw[1] - yaw[0]), pitch[0] + at * (pitch[1] - pitch[0])], 1)
    # The words leave out one in twenty at each end.
    stretched = (pose - pose.mean(0)) / 0.9 + pose.mean(0)
    assert pose_words(stretched) == words


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_needs_nothing_else_and_lets_no_name_in_as_markup():
    result = look(FRONT, faces([40] * 20 + [0] * 60))
    name = '<script>alert("x")</script>.jpg'
    thumbs = [[(name, np.full((32, 32, 3), 90, np.uint8))]]
    text = html_report(result, advise(result), title="a & b", thumbs=thumbs, unused=[name])
    reader = _Reader()
    reader.feed(text)
    assert reader.open == [] and not any(tag == "script" for tag, _ in reader.seen)
    links = [
        value for _, attrs in reader.seen for key, value in attrs.items() if key in {"src", "href"}
    ]
    assert len(links) == 1 and str(links[0]).startswith("data:image/jpeg;base64,")
    assert "url(" not in text and "@import" not in text
    assert all(attrs.get("alt") for tag, attrs in reader.seen if tag == "img")
    svgs = [attrs for tag, attrs in reader.seen if tag == "svg"]
    assert len(svgs) == 15 and all(svg["role"] == "img" and svg["aria-label"] for svg in svgs)
    assert "prefers-color-scheme:dark" in text and dict(reader.seen)["html"] == {"lang": "en"}


def test_the_chart_has_the_uncovered_faces_where_the_map_says():
    result = look(FRONT, faces([40] * 20 + [0] * 60))
    picture = cv2.imdecode(np.frombuffer(charts_png(result, "src and dst"), np.uint8), 1)
    assert picture.shape[1] == 2488 and picture.shape[0] > 1200
    wanted = np.array([int(LIGHT["need"][k : k + 2], 16) for k in (5, 3, 1)])
    # The one red cell: its colour on white, at the opacity of the fullest cell.
    red = (np.abs(picture - (0.62 * wanted + 0.38 * 255)) < 12).all(2)
    _, xs = np.nonzero(red)
    third = picture.shape[1] / 3
    # 40 degrees left is in the left half of the third map, which begins behind its labels.
    assert 2 * third + 80 < xs.mean() < 2 * third + 120 + (third - 140) / 3
    need = chart_svg(pose_maps(result)[2])
    assert ">20<" in need and "<title>35° to the picture" in need.replace("45°", "35°")
    assert "40° to the picture" not in chart_svg(pose_maps(result)[0])
    assert "var(--need)" in need and LIGHT["need"] not in need
