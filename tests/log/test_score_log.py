"""scores.jsonl: many processes append, files of all versions are read; the table of scores."""
import json
import os
import resource
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log.score_log import FEATURES, LOW, Score, append_score, html_table, read, rows, table
from runtime.errors import InputError
from tests.runner import says

pytestmark = pytest.mark.without_paddle

# As version 204147d wrote them: training, val.py --score, result.evaluate.
EARLIER = ['''{"date": "2026-11-01T10:00:00+00:00", "pictures": "runs/a/scoring/pics",
 "checkpoint": "epoch 3 of runs/a",
 "scores": {"pixel_accuracy": 0.5, "mean_accuracy": 0.4, "mean_iou": 0.3, "frequency_weighted_iou": 0.2, "fid": null},
 "protocol": {"name": "spade", "style": "none", "void": "ignored"}, "class_iou": [0.1, null], "weights": "averaged"}''',
           '''{"date": "2026-11-01T10:00:00+00:00", "pictures": "val/pics", "checkpoint": "output/model",
 "scores": {"mean_iou": 0.3, "segmenter_frechet": 2.5}, "protocol": {"name": "own"}, "class_iou": [0.1, null],
 "real": {"mean_iou": 0.6}, "real_class_iou": [0.6, null],
 "part_of_ceiling": {"pixel_accuracy": 0.9, "mean_iou": 0.5}, "weights": "last"}''',
           '''{"date": "2026-11-01T10:00:00+00:00", "pictures": "theirs", "checkpoint": null, "scores": {"fid": 20.5},
 "protocol": {}, "class_iou": null}''']


ONE = Score(scores={'mean_iou': 0.5, 'fid': None}, protocol={'void': 'ignored', 'number_of_pictures': 10},
            pictures='ours', class_iou=[0.5, 0.5], real={'mean_iou': 0.625}, part_of_ceiling={'mean_iou': 0.8})
TWO = Score(scores={'mean_iou': 0.25, 'fid': None}, protocol={'void': 'ignored', 'number_of_pictures': 490},
            pictures='theirs', class_iou=[0.25, 0.25])


def test_scores_of_earlier_versions_are_read(tmp_path):
    (tmp_path / 'scores.jsonl').write_text('\n'.join(line.replace('\n', '') for line in EARLIER) + '\n')
    found = read(tmp_path / 'scores.jsonl')
    assert [score.epoch for score in found] == [3, None, None] and [score.weights
                                                                    for score in found] == ['averaged', 'last', None]
    assert found[0].class_iou == [0.1, None] and found[1].real == {'mean_iou': 0.6} and found[2].scores == {'fid': 20.5}
    append_score(tmp_path / 'scores.jsonl', Score(scores={'mean_iou': 0.25}, protocol={'name': 'spade'}, epoch=4))
    assert [score.epoch for score in read(tmp_path / 'scores.jsonl')] == [3, None, None, 4]


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.builds(Score, scores=st.dictionaries(st.sampled_from(['mean_iou', 'fid']), NUMBERS),
                   protocol=st.dictionaries(st.text(max_size=9), st.integers(0, 9) | st.just('ignored'), max_size=3),
                   pictures=st.text('abc/', max_size=9), checkpoint=st.none() | st.text('epoch 12 of', max_size=9),
                   epoch=st.integers(1, 99), class_iou=st.none() | st.lists(NUMBERS, max_size=3))


@settings(deadline=None)
@given(scores=st.lists(SCORES, max_size=4))
def test_what_is_appended_is_read(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp('scores') / 'new/scores.jsonl'
    for score in scores:
        append_score(path, score)
    assert read(path) == scores


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path):
    """A file that may not grow further: the line is cut off again, and an error reports it."""
    append_score(tmp_path / 'scores.jsonl', ONE)
    before = (tmp_path / 'scores.jsonl').read_bytes()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, len(before) + 20))
            append_score(tmp_path / 'scores.jsonl', ONE)
        except InputError as error:
            os._exit(7 if 'cannot be written' in str(error) else 1)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert (tmp_path / 'scores.jsonl').read_bytes() == before


@pytest.mark.parametrize('end', [b'', b'\n', b'\n\n', b'\r\n'])
def test_a_last_line_without_an_end_remains_a_line(tmp_path, end):
    append_score(tmp_path / 'scores.jsonl', ONE)
    (tmp_path / 'scores.jsonl').write_bytes((tmp_path / 'scores.jsonl').read_bytes().strip() + end)
    append_score(tmp_path / 'scores.jsonl', ONE)
    assert read(tmp_path / 'scores.jsonl') == [ONE, ONE]


def test_many_may_append_at_once(tmp_path):
    path = tmp_path / 'scores.jsonl'

    def work(number):
        for step in range(10):
            append_score(path, Score(scores={'fid': 1.0}, protocol={'name': 'x' * 5000}, epoch=100 * number + step))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(score.epoch for score in read(path)) == sorted(100 * number + step for number in range(4)
                                                                 for step in range(10))


@pytest.mark.parametrize('line, said', [
    ('[]', 'expected an object'), ('3', 'expected an object'), ('{"checkpoint": 3}', 'scores: missing'),
    ('{', 'line 1'),
    ('{"scores": {"fid": NaN}, "protocol": {}}', 'scores.fid: found NaN'),
    ('{"scores": {"fid": "good"}, "protocol": {}}', 'scores.fid'),
    ('{"scores": {}, "protocol": {}, "epoch": -1}', 'epoch'), ('[' * 5000 + ']' * 5000, 'too deep'),
    ('{"scores": {}, "protocol": {}, "class_iou": [[]]}', 'class_iou')])
def test_damaged_lines_are_named(tmp_path, line, said):
    path = tmp_path / 'scores.jsonl'
    path.write_text(line + '\n{"scores": {}, "protocol": {}}\n')
    with pytest.raises(InputError) as caught:
        read(path)
    assert says(str(caught.value), path, 'cannot be read', said, 'remove that line') and '\n' not in str(caught.value)


def test_a_table_shows_differences_of_protocols():
    """Scores of 10 and of 490 pictures cannot be compared: both numbers are shown."""
    text = table([ONE, TWO])
    assert says(text, 'mean IoU', '0.5000', '0.2500', 'real photos: mean IoU', '0.6250', 'part of that', '0.8000')
    assert 'number_of_pictures 10 | 490' in text and 'void ignored' in text and 'void ignored |' not in text
    assert ('mean IoU', '0.5000', '0.2500') in rows([ONE, TWO]) and ('FID', '-', '-') in rows([ONE, TWO])


def test_a_line_warns_of_scores_over_one_class():
    for class_iou in [1.0], [None, 1.0, None]:
        perfect = Score(scores={'mean_iou': 1.0}, protocol={}, pictures='ours', class_iou=class_iou)
        assert 'only one class' in table([perfect]) and 'mean nothing' in table([perfect])
    assert 'only one class' not in table([ONE]) + table([Score(scores={'fid': 1.0}, protocol={}, pictures='ours')])


@pytest.mark.parametrize('known', [dict(real={'mean_iou': 0.04}), dict(real={'mean_iou': 0.3}, network_mean_iou=0.04),
                                   dict(real={'mean_iou': 0.04}, network_mean_iou=0.3), dict(network_mean_iou=0.04)])
def test_a_network_that_cannot_score_has_no_ceiling(known):
    """Grey pictures reached 1.9 times the photos' accuracy. The record keeps the parts, no table shows them."""
    low = Score(scores={'mean_iou': 0.08}, protocol={}, pictures='grey', part_of_ceiling={'mean_iou': 2.0}, **known)
    assert says(table([low]), f'0.0400 on real photos, below {LOW}', 'cannot score pictures', '--restart') and \
        'part of that' not in table([low])
    assert '0.8000' in table([ONE, low]) and '2.0000' not in table([ONE, low])
    fine = Score(scores={}, protocol={}, real={'mean_iou': LOW}, network_mean_iou=LOW, part_of_ceiling={'mean_iou': 2})
    assert 'low' not in table([fine]) and 'part of that' in table([fine])


def test_a_distance_of_few_pictures_is_biased():
    for name, features in FEATURES.items():
        for count, few in ((features - 1, True), (features, False)):
            score = Score(scores={name: 1.0}, protocol={'number_of_pictures': count}, pictures='ours')
            assert (f'{count} pictures are fewer than its {features} features' in table([score])) == few
    assert 'fewer' not in table([ONE])    # no distance


def test_a_table_has_the_iou_of_each_class():
    score = Score(scores={}, protocol={}, class_iou=[0.25, None], real={}, real_class_iou=[0.75, None])
    text = table([score], ['road', 'tree'])
    assert says(text, 'road', '0.2500', '0.7500') and 'tree' not in text


def test_html_shows_text_as_it_is():
    assert html_table([('', '<a>'), ('b & c', '1')]) == \
        '<table><tr><th></th><th>&lt;a&gt;</th></tr><tr><td>b &amp; c</td><td>1</td></tr></table>'


def test_nan_and_infinity_are_written_as_null(tmp_path):
    with pytest.raises(ValueError):
        append_score(tmp_path / 'scores.jsonl', Score(scores={'fid': float('nan')}, protocol={}))
    assert not (tmp_path / 'scores.jsonl').exists()


def test_a_line_is_json(tmp_path):
    append_score(tmp_path / 'scores.jsonl', ONE)
    assert json.loads((tmp_path / 'scores.jsonl').read_text())['part_of_ceiling'] == {'mean_iou': 0.8}
