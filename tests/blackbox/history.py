"""
Whether what a client was told, what the handlers did and what stands in the topics agree. Every
request is logged by the client, every effect by the handler, every topic is read to its end.
"""
import collections
import json

from broker import wait_for


def unmarked(journal):
    """Ids of tasks whose second or later run was not told that it may not be the first."""
    seen, wrong, before = set(), [], ""
    for line in journal:
        what, task = line.split()
        if what == "begin":
            if task in seen and before != f"redelivered {task}":
                wrong.append(task)
            seen.add(task)
        before = line
    return wrong


def handled(setup, seconds=60, but=()):
    """Waits until every record of the topic, but for some, has had its effect."""
    def all_done():
        wanted = {json.loads(r["payload"])["id"] for r in setup.broker.records(setup.kafka_topic)}
        return wanted - {*but} <= {l.split()[1] for l in setup.effects() if l.startswith("end ")}

    wait_for(all_done, seconds, "the effect of every record")


def check(setup, results, *, replies=True, repeats_allowed=0):
    """
    `results`: (id, echo value, status, head, answer) of every request; ids are used once. Status None or 0:
    nothing was heard. Returns counts by status, for the test to look at. Raises AssertionError.
    """
    records = collections.Counter()
    for record in setup.broker.records(setup.kafka_topic):
        records[json.loads(record["payload"])["id"]] += 1
    ended = collections.Counter(l.split()[1] for l in setup.effects() if l.startswith("end "))
    counts, repeated = collections.Counter(), 0
    assert len({r[0] for r in results}) == len(results), "an id was used twice"
    for task, value, status, head, answer in results:
        said = f"{task}: {status} {answer}, {records[task]} records, {ended[task]} effects"
        counts[status] += 1
        assert records[task] <= 1, said  # the producer repeats nothing
        if status == 200:
            assert replies and answer["id"] == task and answer["result"]["echo"]["n"] == value, said
            assert ended[task] >= 1, said
        elif status == 202:
            assert records[task] == 1 and ended[task] >= 1, said
        elif status == 503 and "Location:" not in head:
            assert records[task] == 0 and ended[task] == 0, said  # certainly not sent
        elif status in (503, 504):
            assert answer["id"] == task, said
            assert ended[task] == 0 or records[task], said
        else:
            assert status in (None, 0), said
        repeated += max(0, ended[task] - 1)
        if records[task]:
            assert ended[task] >= 1, f"accepted, and lost: {said}"
    assert repeated <= repeats_allowed, f"{repeated} tasks were done again"
    wrong = unmarked(setup.journal())
    assert not wrong, f"done again, and not marked as redelivered: {wrong}"
    return counts
