"""Random rows and random filters that have a good chance to meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TYPES = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "PAUSED")
STATE_NAMES = ("Scheduled", "Late", "Running", "Completed", "Odd")
NAMES = ("alpha", "Alpha-2", "b_ta", "b%ta", "gämma", "beta")
TAGS = ("x", "y", "z's")
MOMENTS = tuple(f"2030-01-01T00:00:0{second}.000000Z" for second in range(6))
IDS = tuple(f"00000000-0000-4000-8000-00000000000{digit}" for digit in range(9))
QUEUES = ("default", "fast")


def table_id(table: int, index: int) -> str:
    return f"0000000{table}-0000-7000-8000-00000000000{index}"


def maybe(values: Any) -> Any:
    return st.none() | values


def moments() -> Any:
    return maybe(st.sampled_from(MOMENTS))


def states() -> Any:
    """(type, name), or no state at all."""
    pairs = st.tuples(st.sampled_from(TYPES), st.sampled_from(STATE_NAMES))
    return st.just((None, None)) | pairs


@st.composite
def rows(draw: Any) -> tuple[list[dict[str, Any]], ...]:
    """Flows, flow runs and task runs, as rows of their tables."""
    some_tags = st.lists(st.sampled_from(TAGS), unique=True, max_size=3)
    flows = [
        {"id": table_id(1, index), "name": f"{draw(st.sampled_from(NAMES))}{index}",
         "tags": draw(some_tags)}
        for index in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    tasks = draw(st.integers(0, 5))
    task_ids = [table_id(3, index) for index in range(tasks)]
    flow_runs = []
    for index in range(draw(st.integers(0, 8))):
        type_, name = draw(states())
        creator = st.fixed_dictionaries(
            {"type": st.sampled_from(("DEPLOYMENT", "AUTOMATION"))},
            optional={"id": st.sampled_from(IDS)},
        )
        flow_runs.append({
            "id": table_id(2, index), "name": draw(st.sampled_from(NAMES)),
            "flow_id": draw(st.sampled_from(flows))["id"],
            "deployment_id": draw(maybe(st.sampled_from(IDS[:2]))),
            "work_queue_name": draw(maybe(st.sampled_from(QUEUES))),
            "flow_version": draw(maybe(st.sampled_from(("1", "2")))),
            "idempotency_key": draw(maybe(st.just(f"key-{index}"))),
            "tags": draw(some_tags), "state_type": type_, "state_name": name,
            "parent_task_run_id": draw(maybe(st.sampled_from(task_ids))) if task_ids else None,
            "expected_start_time": draw(moments()),
            "next_scheduled_start_time": draw(moments()),
            "start_time": draw(moments()), "end_time": draw(moments()),
            "created_by": draw(maybe(creator)),
        })  # fmt: skip
    run_ids = [run["id"] for run in flow_runs]
    task_runs = []
    for id_ in task_ids:
        type_, name = draw(states())
        task_runs.append({
            "id": id_, "name": draw(st.sampled_from(NAMES)),
            "flow_run_id": draw(maybe(st.sampled_from(run_ids))) if run_ids else None,
            "tags": draw(some_tags), "state_type": type_, "state_name": name,
            "expected_start_time": draw(moments()), "next_scheduled_start_time": None,
            "start_time": draw(moments()), "end_time": draw(moments()),
        })  # fmt: skip
    return flows, flow_runs, task_runs


def criteria(op: bool = False, **operators: Any) -> Any:
    """An object with some of `operators`, each null at times."""
    optional = {key: values | values | maybe(values) for key, values in operators.items()}
    if op:
        optional["operator"] = st.sampled_from(("and_", "or_"))
    found = st.fixed_dictionaries({}, optional=optional)
    return found | found | found | st.none()


def some(values: Any) -> Any:
    one = st.sampled_from(values)
    return st.lists(one, max_size=3) | one.map(lambda value: [value])


LIKE = st.sampled_from(("a", "ALPHA", "b_ta", "%", "_", "", "ta", "Ä"))
FLAG = st.booleans()
WINDOW: dict[str, Any] = {
    "before_": st.sampled_from((*MOMENTS, "2030-01-01T00:00:03", "2030-01-01T01:00:02+01:00")),
    "after_": st.sampled_from(MOMENTS),
}


def few(keys: dict[str, Any], most: int) -> Any:
    """An object with up to `most` of `keys`: with more of them, hardly anything would match."""
    chosen = st.lists(st.sampled_from(sorted(keys)), unique=True, max_size=most)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: keys[name] for name in names}))


def _filter(keys: dict[str, Any]) -> Any:
    operator = st.just({}) | st.sampled_from(("and_", "or_")).map(lambda word: {"operator": word})
    return st.tuples(few(keys, 3), operator).map(lambda parts: parts[0] | parts[1])


def _ids(table: int) -> Any:
    return some([table_id(table, index) for index in range(5)])


FLOWS = _filter({
    "id": criteria(any_=_ids(1), not_any_=_ids(1)),
    "name": criteria(any_=some([f"{n}{i}" for n in NAMES for i in range(2)]), like_=LIKE),
    "tags": criteria(True, all_=some(TAGS), is_null_=FLAG),
    "deployment": criteria(True, is_null_=FLAG),
})  # fmt: skip

FLOW_RUNS = _filter({
    "id": criteria(any_=_ids(2), not_any_=_ids(2)),
    "name": criteria(any_=some(NAMES), like_=LIKE),
    "tags": criteria(True, all_=some(TAGS), any_=some(TAGS), is_null_=FLAG),
    "deployment_id": criteria(True, any_=some(IDS[:2]), is_null_=FLAG),
    "work_queue_name": criteria(True, any_=some(QUEUES), is_null_=FLAG),
    "state": criteria(
        True,
        type=criteria(any_=some(TYPES), not_any_=some(TYPES)),
        name=criteria(any_=some(STATE_NAMES), not_any_=some(STATE_NAMES)),
    ),
    "flow_version": criteria(any_=some(("1", "2"))),
    "start_time": criteria(**WINDOW, is_null_=FLAG),
    "end_time": criteria(**WINDOW, is_null_=FLAG),
    "expected_start_time": criteria(**WINDOW),
    "next_scheduled_start_time": criteria(**WINDOW),
    "parent_flow_run_id": criteria(True, any_=_ids(2)),
    "parent_task_run_id": criteria(True, any_=_ids(3), is_null_=FLAG),
    "idempotency_key": criteria(any_=some(("key-0", "key-1")), not_any_=some(("key-0",))),
    "created_by": criteria(
        True, id_=some(IDS), type_=some(("DEPLOYMENT", "USER")), is_null_=FLAG
    ),
})  # fmt: skip

TASK_RUNS = _filter({
    "id": criteria(any_=_ids(3)),
    "name": criteria(any_=some(NAMES), like_=LIKE),
    "tags": criteria(True, all_=some(TAGS), is_null_=FLAG),
    "state": criteria(
        True, type=criteria(any_=some(TYPES)), name=criteria(any_=some(STATE_NAMES))
    ),
    "start_time": criteria(**WINDOW, is_null_=FLAG),
    "end_time": criteria(**WINDOW, is_null_=FLAG),
    "expected_start_time": criteria(**WINDOW),
    "subflow_runs": criteria(exists_=FLAG),
    "flow_run_id": criteria(True, any_=_ids(2), is_null_=FLAG),
})  # fmt: skip

BODIES = few(
    {"flows": FLOWS, "flow_runs": FLOW_RUNS, "task_runs": TASK_RUNS, "deployments": st.none()}, 3
) | st.just({"deployments": {}})
