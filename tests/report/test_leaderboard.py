"""The leaderboard: ranks of all samplers at all sizes, on a page and in docs/leaderboard.md."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet import InputError
from samplenet.pretrained import task_card, task_folder
from samplenet.report import entries, leaderboard, page
from samplenet.report.rows import in_order
from samplenet.report.sections import read_sections
from samplenet.report.ties import ranks
from samplenet.runs.experiments import discover
from samplenet.runs.run import network_digest

ROOT = Path(__file__).parents[2]
EXPERIMENTS = discover(ROOT)
EVIL = "<script>alert(1)</script>"


def row(sampler, m, value, seed=0, protocol="matched", metric="accuracy", n=10000):
    method = {"sampler": sampler, "m": m}
    head = {"method": method, "protocol": protocol, "metric": metric}
    return {**head, "value": value, "n": n, "seed": seed}


# of 10000 clouds a tie reaches about one point
ACCURACY = [
    row("none", 1024, 0.95),
    row("random", 32, 0.3),
    row("fps", 32, 0.58),
    row("greedy", 32, 0.95),
    row("samplenet", 32, 0.945),
    row("samplenet", 32, 0.949, seed=1),
    row("samplenet", 32, 0.99, protocol="soft"),
    row("theirs", 32, 0.9),
    row("samplenet", 8, 0.4),
    row("fps", 8, 0.2),
]
ROTATION = [
    row(sampler, m, value, metric=metric, n=200)
    for metric in ("rotation_error_deg", "rotation_error_std_deg")
    for sampler, m, value in (("none", 512, 3), ("fps", 32, 8.25), ("samplenet", 32, 5.5))
]


def evaluation(folder, rows, name="classification", data="shapes", **more):
    folder.mkdir(parents=True)
    head = {"schema": 2, "experiment": name, "data": data, "command": "python evaluate.py"}
    (folder / "results.json").write_text(json.dumps({**head, "rows": rows, **more}))


@pytest.fixture
def preset(tmp_path):
    """Two experiments of three, the first with the run of its network."""
    folder = tmp_path / "quick"
    method = {"sampler": "none", "m": 1024}
    network = {"method": method, "seed": 0, "folder": "../classifier", "command": "python train.py"}
    home = folder / "classification"
    evaluation(home / "evaluation", ACCURACY, runs=[network], network="vanilla")
    evaluation(folder / "registration" / "evaluation", ROTATION, "registration", "cars")
    return folder


def boards(folder):
    sections = read_sections(folder, "quick", {}, EXPERIMENTS)
    found = leaderboard.boards(sections, EXPERIMENTS)
    return {board.experiment.name: board for board in found}


def test_samplers_are_ranked_at_each_size_with_their_ties_seeds_and_needs(preset):
    board = boards(preset)["classification"]
    titles = [table.title for table in board.tables]
    assert titles == ["m = 32 of 1024 (full cloud 95.0)", "m = 8 of 1024 (full cloud 95.0)"]
    heads = [head.text for head in board.tables[0].heads]
    assert heads == ["sampler", "rank", "Accuracy, %", "seeds", "training", "needs"]
    assert board.tables[0].lines == [
        ["greedy, all points", "1, tie", "95.0", "1", "none", "task's encoder"],
        ["SampleNet", "1, tie", "94.7 ± 0.3", "2", "trained", "own network"],
        ["theirs", "3", "90.0", "1", "not stated", "not stated"],
        ["FPS", "4", "58.0", "1", "none", "distances"],
        ["random", "5", "30.0", "1", "none", "nothing"],
    ]
    assert [line[:2] for line in board.tables[1].lines] == [["SampleNet", "1"], ["FPS", "2"]]
    notes = " ".join(board.notes)
    assert "classification/classifier, made by python train.py" in notes
    assert "10000 test clouds. Task network: vanilla PointNet." in notes
    assert "standard errors over test clouds and seeds" in notes and "python evaluate.py" in notes


def test_where_less_is_better_the_least_is_first(preset):
    (table,) = boards(preset)["registration"].tables
    assert [line[:3] for line in table.lines] == [["SampleNet", "1", "5.50"], ["FPS", "2", "8.25"]]


def test_an_experiment_without_results_says_so(preset):
    board = boards(preset)["reconstruction"]
    assert not board.tables and board.notes == [leaderboard.NO_RESULTS]
    page.write(preset, experiments=EXPERIMENTS)
    text = (preset / "leaderboard.html").read_text()
    assert "<h2>Reconstruction</h2>" in text and "No results are in yet." in text


def ranked(*values, spread=True):
    """Rank shares of 10000 clouds, or degrees whose spread is unknown."""
    name, metric = ("classification", "accuracy")
    if not spread:
        name, metric = ("registration", "rotation_error_deg")
    rows = [row(str(i), 8, value, metric=metric) for i, value in enumerate(values)]
    cells = {i: [row] for i, row in enumerate(rows)}
    return ranks(rows, EXPERIMENTS[name], metric, {**cells, "empty": []})


@pytest.mark.parametrize(
    "values, found",
    [
        ((0.5,), [(1, False, 0)]),
        ((0.5, 0.9), [(1, False, 1), (2, False, 0)]),
        # 0.5 ties with 0.51, and 0.51 with 0.52, the best: it shares that rank, and 0.5 does not
        ((0.5, 0.51, 0.52), [(1, True, 2), (1, True, 1), (3, False, 0)]),
        ((0.9, 0.5, 0.5, 0.1), [(1, False, 0), (2, True, 1), (2, True, 2), (4, False, 3)]),
    ],
)
def test_a_rank_is_shared_with_the_best_of_those_left(values, found):
    assert ranked(*values) == found


def test_nothing_ties_where_the_error_is_unknown():
    found = ranked(5, 5.001, 4, spread=False)
    assert found == [(1, False, 2), (2, False, 0), (3, False, 1)]


def test_the_experiments_usual_network_judges_and_no_other(preset):
    others = [row("none", 1024, 0.9), row("snet", 32, 0.99)]
    evaluation(preset / "classification" / "evaluation-pointnet", others, network="pointnet")
    evaluation(preset / "classification-EdgeNet" / "evaluation", others, network="EdgeNet")
    found = boards(preset)
    assert list(found) == [name for name, each in EXPERIMENTS.items() if each.has_samplers]
    assert "S-NET" not in str(found["classification"].tables)


def test_variants_of_greedy_come_from_their_ablation(preset):
    below = preset / "classification" / "ablation"
    full = row("none", 1024, 0.95)
    variants = [full, row("greedy", 32, 0.95), row("greedy_refresh_2", 32, 0.7)]
    evaluation(below / "greedy" / "evaluation", variants)
    evaluation(
        below / "greedy-seed-0-to-seed-1" / "evaluation", [full, row("greedy_fps_128", 32, 0.1)]
    )
    evaluation(below / "k-2" / "evaluation", [full, row("snet", 32, 0.1)])
    names = [line[0] for line in boards(preset)["classification"].tables[0].lines]
    assert names == [
        "greedy, all points", "SampleNet", "theirs", "greedy, gradient every 2nd turn", "FPS",
        "random",
    ]  # fmt: skip


def test_a_trained_sampler_beside_a_greedy_one_needs_both_networks(preset):
    paired = [row("none", 1024, 0.95), row("samplenet_near_12", 32, 0.93)]
    paired += [row("samplenet_near_4", 32, 0.1), row("mine_near_2", 32, 0.2)]
    evaluation(preset / "classification" / "ablation" / "greedy" / "evaluation", paired)
    lines = {line[0]: line[1:] for line in boards(preset)["classification"].tables[0].lines}
    found = lines["SampleNet, greedy among the 12 nearest"]
    assert found[-2:] == ["trained", "own network, task's encoder"]
    assert lines["mine_near_2"][-2:] == ["not stated", "not stated"]
    names = ["theirs", "samplenet_near_12", "samplenet", "samplenet_near_4"]
    assert in_order(names) == ["samplenet", "samplenet_near_4", "samplenet_near_12", "theirs"]


def test_page_and_leaderboard_link_to_each_other_and_escape_names(preset):
    home = preset / "classification-evil" / "evaluation"
    evaluation(home, [*ACCURACY, row(EVIL, 32, 0.5)], data=EVIL)
    for path in (preset / "classification").rglob("results.json"):
        path.unlink()
    index = page.write(preset, experiments=EXPERIMENTS)
    text = (preset / "leaderboard.html").read_text()
    assert 'href="leaderboard.html"' in index.read_text() and 'href="index.html"' in text
    assert EVIL not in text and text.count("&lt;script&gt;") > 1 and "<script" not in text


STALE = f"above\n{page.BEGIN}\nstale\n{page.END}\nbelow\n"


@pytest.fixture
def docs(tmp_path):
    """The file of the ranks, in a checkout of two Markdown files."""
    path = tmp_path / "checkout" / "docs" / "leaderboard.md"
    path.parent.mkdir(parents=True)
    path.write_text(STALE)
    (tmp_path / "checkout" / "README.md").write_text(STALE)
    return path


# as on the card of the library's classifier and of its registration network
WHOLE = row("none", 1024, 0.945238, n=840)
ENTRY = [{**number, "n": 840} for number in [WHOLE, *ACCURACY[1:]]]
PAIRS = [{**number, "n": 800} for number in ROTATION]
PAIRS[0] = row("none", 512, 3.67407, metric="rotation_error_deg", n=800)
PAIRS[3] = row("none", 512, 2.58285, metric="rotation_error_std_deg", n=800)


def theirs(sampler, m, value, **more):
    return row(sampler, m, value, n=840, **more)


def entry(folder, name, rows, experiment="classification", task=None, **more):
    """Write an entry that the library's network of the experiment has judged, or `task`."""
    method, card = {"sampler": "none", "m": rows[0]["method"]["m"]}, task_card(experiment)
    judge = {"method": method, "seed": 0, "folder": "../network", "command": "python train.py"}
    judge |= {"digest": network_digest(task or task_folder(experiment))}
    more = {"data": card["data"], **more}
    runs = [judge, *more.pop("runs", [])]
    evaluation(folder / experiment / name, rows, experiment, runs=runs, **more)


@pytest.fixture
def board(tmp_path):
    """One entry of two experiments of three."""
    entry(tmp_path / "board", "ours", ENTRY)
    entry(tmp_path / "board", "ours", PAIRS, "registration")
    return tmp_path / "board"


def publish(board, docs):
    return page.write_published(
        entries.read_entries(board, EXPERIMENTS), docs.parents[1], EXPERIMENTS
    )


def ranks_of(board, docs):
    assert docs in publish(board, docs)
    return docs.read_text()


def readme_of(board, docs, experiment=""):
    """Return README.md's text, or that of an experiment's README.md, which is created."""
    path = docs.parents[1] / experiment / "README.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(STALE)
    assert path in publish(board, docs)
    return path.read_text()


def test_the_markdown_has_the_ranks_between_its_markers(board, docs):
    names = [EVIL, "a|b\n| c |", "[x](javascript:alert)"]
    entry(board, "evil", [WHOLE, *(theirs(name, 32, 0.5) for name in names)])
    for _ in range(2):
        text = ranks_of(board, docs)
    assert text.startswith(f"above\n{page.BEGIN}\n\n## Classification: shapes-100-40")
    assert text.endswith(f"{page.END}\nbelow\n") and "stale" not in text
    assert "| greedy, all points | 1, tie | 95.0 | 1 | none | task's encoder |" in text
    assert "the library's `classification`, made by `python classification/train_" in text
    assert "## Reconstruction\n" in text and "No results are in yet." in text
    assert EVIL not in text and "| a\\|b \\| c \\| |" in text and "| \\[x](javascript" in text


def test_entries_share_the_ranks_and_their_seeds_a_cell(board, docs):
    """Each entry has its own commands, also where two name a run folder alike."""
    for name, seed in (("one", 2), ("two", 3)):
        run = {"method": {"sampler": "samplenet", "m": 32}, "seed": seed, "folder": "../samplenet"}
        run |= {"command": f"python {name}.py", "revision": "0123456789abcdef"}
        found = [WHOLE, theirs("samplenet", 32, 0.94, seed=seed), theirs(name, 16, 0.4)]
        entry(board, name, found, runs=[run], command=f"python evaluate_{name}.py")
    text = ranks_of(board, docs)
    assert "| SampleNet | 1, tie | 94.3 ± 0.4 | 4 | trained | own network |" in text
    assert "**m = 16 of 1024 (full cloud 94.5)**" in text
    for name, seed in (("one", 2), ("two", 3)):
        own = text[text.index(f"**Commands of the entry classification/{name}**") :]
        assert f"| SampleNet | 32 | {seed} | 0123456789 | python {name}.py |" in own
        assert f"python evaluate_{name}.py" in own
    assert "../samplenet" not in text


AGAIN = "evaluate with --task classification"


@pytest.mark.parametrize(
    "rows, more, message",
    [
        (
            [theirs("mine", 32, 0.5)],
            {"task": task_folder("reconstruction")},
            f"classification/theirs was judged by another network than the library's: {AGAIN}",
        ),
        (
            [theirs("mine", 32, 0.5)],
            {"data": "other"},
            "classification/theirs was tested on other, n = 840, N = 1024; the leaderboard is of "
            f"shapes-100-40-seed0-c4dcca19, n = 840, N = 1024: {AGAIN} alone",
        ),
        (
            [theirs("fps", 32, 0.58)],
            {},
            "classification/ours and classification/theirs both have FPS at m = 32, seed 0: "
            "evaluate one without it",
        ),
        (
            [theirs("theirs", 8, 0.58, seed=1)],
            {},
            "classification/ours and classification/theirs both have a sampler 'theirs': give one "
            "of them another name in its sampler.yaml",
        ),
        (
            [theirs("none", 1024, 0.6), theirs("mine", 32, 0.5)],
            {},
            "classification/theirs has 0.6 for accuracy of whole clouds, the library's network "
            f"0.945238: {AGAIN} alone",
        ),
        ([row("mine", 32, 0.5, n=10)], {}, "is not of all 840 test items"),
        (
            [theirs("mine", 32, 0.5, protocol="generated")],
            {},
            "classification/theirs has no number of a sampler on matched points",
        ),
        ([theirs("mine", 32, 60)], {}, "a share must be between 0 and 1, got"),
        ([row("mine", 32, 0.5, n=0)], {}, "n at least 1"),
        ([theirs("mine", 32, 10**400)], {}, "value a finite one"),
        (
            [{**theirs("mine", 32, 0.5), "method": {"sampler": "mine"}}],
            {},
            "lacks m",
        ),
        (
            [theirs("mine", 32, 0.5)],
            {"runs": [{"method": {"sampler": "mine"}, "folder": "../mine", "sizes": 5}]},
            "in runs, sizes must be a list, got 5",
        ),
    ],
)
def test_an_entry_that_cannot_be_ranked_is_refused(board, docs, rows, more, message):
    before = docs.read_text()
    entry(board, "theirs", [WHOLE, *rows], **more)
    with pytest.raises(InputError, match=re.escape(message)):
        ranks_of(board, docs)
    assert docs.read_text() == before


def test_an_entry_at_another_place_or_without_its_judge_is_refused(board):
    shutil.copytree(board / "registration" / "ours", board / "classification" / "theirs")
    message = "classification/theirs is of registration, not of classification"
    with pytest.raises(InputError, match=message):
        entries.read_entries(board, EXPERIMENTS)
    shutil.rmtree(board / "classification")
    evaluation(board / "classification" / "old", ENTRY)
    with pytest.raises(InputError, match="old does not say which network judged it"):
        entries.read_entries(board, EXPERIMENTS)
    shutil.move(board / "classification", board / "clasification")
    with pytest.raises(InputError, match="clasification/old/results.json: an entry is <experime"):
        entries.read_entries(board, EXPERIMENTS)


def test_a_file_of_brackets_is_no_results_file(board):
    (board / "classification" / "ours" / "results.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not a results file"):
        entries.read_entries(board, EXPERIMENTS)


def test_the_readme_has_each_experiments_own_size(board, docs):
    progressive = [theirs("samplenet_progressive", m, 0.9 + m / 1000) for m in (8, 16, 32)]
    entry(board, "theirs", [WHOLE, *progressive])
    lines = [line for line in readme_of(board, docs).splitlines() if line.startswith("| ")][2:]
    assert lines == [
        "| Classification | Accuracy, %; 32 of 1024 points | 30.0 | 58.0 | 93.2 | 94.5 |",
        "| Registration | Mean rotation error, degrees; 32 of 512 points |  | 8.25 |  | 3.67 |",
    ]


def test_the_readme_has_a_size_that_trained_samplers_have(board, docs):
    shutil.rmtree(board / "classification")
    sizes = [theirs("fps", m, 0.5) for m in (8, 32)]
    entry(board, "ours", [WHOLE, *sizes, theirs("samplenet_progressive", 8, 0.9)])
    assert "Accuracy, %; 8 of 1024 points |  | 50.0 | 90.0 | 94.5 |" in readme_of(board, docs)


def test_an_experiments_readme_has_all_sizes_of_the_papers_samplers(board, docs):
    text = readme_of(board, docs, "classification")
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "stale" not in text
    assert "| m | ratio | random | FPS | SampleNet |\n" in text and "840 test clouds. " in text
    assert "| 32 | 32 | 30.0 | 58.0 | **94.7 ± 0.3** |\n| 8 | 128 |" in text
    assert "on the leaderboard alone" in text and "| theirs |" in docs.read_text()
    text = readme_of(board, docs, "registration")
    assert "on the leaderboard alone" not in text and "**Mean rotation error, degrees (" in text
    shutil.rmtree(board / "classification")
    entry(board, "greedy", [WHOLE, ENTRY[3]])
    for name in ("classification", "reconstruction"):  # one without the paper's, one without any
        expected = f"above\n{page.BEGIN}\n\nNo results are in yet.\n\n{page.END}\nbelow\n"
        assert readme_of(board, docs, name) == expected


def test_the_file_stays_whole_when_nothing_can_be_written(board, docs):
    with pytest.raises(InputError, match="no entry below"):
        entries.read_entries(board / "nothing", EXPERIMENTS)
    docs.with_name("leaderboard.md.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        publish(board, docs)
    assert docs.read_text() == STALE


@pytest.mark.parametrize("text", ["no markers", f"{page.END}\n{page.BEGIN}\n", 2 * STALE])
def test_no_file_is_written_unless_all_have_markers(board, docs, text):
    docs.parents[1].joinpath("README.md").write_text(text)
    with pytest.raises(InputError, match=r"README\.md must have the lines .* in this order"):
        publish(board, docs)
    assert docs.read_text() == STALE
    docs.parents[1].joinpath("README.md").unlink()
    with pytest.raises(InputError, match=r"there is no .*README\.md"):
        publish(board, docs)
    assert docs.read_text() == STALE


def test_the_command_leaves_the_page_as_it_is_where_there_are_no_entries(tmp_path):
    path = ROOT / "docs" / "leaderboard.md"
    before = path.read_text()
    command = [sys.executable, "-m", "samplenet.report", "--leaderboard-md", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("report: error: no entry below")
    assert path.read_text() == before


def test_the_published_numbers_are_those_of_the_entries(tmp_path):
    names = [name for name, each in EXPERIMENTS.items() if each.has_samplers]
    names = ["docs/leaderboard.md", "README.md", *(f"{name}/README.md" for name in names)]
    before = {}
    for name in names:
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
        before[copy] = copy.read_text()
        assert before[copy].count(page.BEGIN) == before[copy].count(page.END) == 1
    found = entries.read_entries(ROOT / "docs" / "leaderboard", EXPERIMENTS)
    assert page.write_published(found, tmp_path, EXPERIMENTS) == [*before]
    for copy, text in before.items():
        assert copy.read_text() == text, f"{copy} is older than docs/leaderboard/"
