"""bindings.yaml: what it may say, and how every mistake in it is named with file, line and the nearest valid word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from example_files import shipped_bindings

from sayso.contracts.catalog import EVENT_TYPES, WORKFLOWS, WorkflowContract
from sayso.correlation import bindings as bindings_module
from sayso.correlation.bindings import Action, Bindings, load_bindings
from sayso.correlation.treatment import Answer, Treatment
from sayso.errors import ConfigurationError

RULE = """\
  - name: order
    topic: purchases
    type: com.acme.purchase.requested.v1
    key: event.data.order_id
    start: purchase_order_workflow
"""
START = "    start: purchase_order_workflow"
PAID = """\
  - name: paid
    topic: payments
    type: com.acme.payment.captured.v1
    key: event.data.order_id
    resume: purchase_order_workflow.payment_received
"""

Load = Callable[[str], Bindings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load these rules; the first rule begins in line 2."""

    def _load(rules: str) -> Bindings:
        file = tmp_path / "bindings.yaml"
        file.write_text("bindings:\n" + rules, encoding="utf-8")
        return load_bindings(file)

    return _load


def complaint(load: Load, rules: str) -> str:
    """`LINE: message` of the error."""
    with pytest.raises(ConfigurationError) as caught:
        load(rules)
    return str(caught.value).partition("bindings.yaml:")[2]


def test_the_shipped_file_is_valid_and_covers_every_inbound_type() -> None:
    rules = shipped_bindings().rules
    assert {rule.type for rule in rules} >= {name for name, kind in EVENT_TYPES.items() if kind.direction == "in"}
    for rule in rules:
        if rule.type in EVENT_TYPES:
            assert rule.topic == EVENT_TYPES[rule.type].topic, rule.name


def test_the_shipped_file_starts_and_wakes_every_workflow() -> None:
    rules = shipped_bindings().rules
    assert {rule.workflow for rule in rules if rule.action is Action.START} == set(WORKFLOWS)
    woken = {(rule.workflow, rule.event_name) for rule in rules if rule.action is Action.RESUME}
    assert woken == {(name, event) for name, contract in WORKFLOWS.items() for event in contract.events}


def test_subscriptions_are_the_topics_in_the_order_of_the_file() -> None:
    bindings = shipped_bindings()
    assert bindings.topics == ("purchases", "requests", "tasks", "orders", "trips", "approvals", "payments", "batches", "monitors")
    assert bindings.subscriptions == (*bindings.topics, "dapr-deadletters")


def test_the_home_of_a_type_is_the_one_topic_that_has_rules_for_it(load: Load) -> None:
    two_topics = load(RULE + RULE.replace("order\n", "other\n", 1).replace("purchases", "shop-orders"))
    assert two_topics.home_of("com.acme.purchase.requested.v1") is None
    assert load(RULE).home_of("com.acme.purchase.requested.v1") == "purchases"
    assert load(RULE).home_of("com.acme.nobody.v1") is None


def test_each_action_says_what_it_does(load: Load) -> None:
    rules = load(
        RULE
        + PAID.replace("captured.v1", "captured.v1\n    early: hold PT1H")
        + """\
  - {name: back, topic: purchases, type: com.acme.purchase.withdrawn.v1, key: event.data.order_id, withdraw: purchase_order_workflow}
  - {name: kept, topic: payments, type: com.acme.payment.authorized.v1, record: true}
  - {name: both, topic: own, type: org.example.both.v1, key: event.id, start_or_resume: approval_workflow.approval_received}
"""
    ).rules
    assert [rule.does for rule in rules] == [
        "start purchase_order_workflow",
        "resume purchase_order_workflow.payment_received",
        "resume purchase_order_workflow.withdraw_requested",
        "record",
        "start_or_resume approval_workflow.approval_received",
    ]
    assert [rule.treatment.hold for rule in rules] == [None, timedelta(hours=1), None, None, None]


def test_what_is_early_late_repeated_or_asked_for_again_is_treated_as_the_rule_says(load: Load) -> None:
    plain, strict = load(
        PAID
        + PAID.replace("paid", "strict")
        .replace("captured", "settled")
        .replace(
            "    resume",
            "    early: dead-letter\n    on_late: publish org.example.late.v1 to late-ones\n    on_duplicate: alarm\n    resume",
        )
    ).rules
    assert plain.treatment == Treatment()
    answer = Answer("org.example.late.v1", "late-ones")
    assert strict.treatment == Treatment(holds_early=False, on_late=answer, alarms_on_duplicate=True)
    assert Answer.parse(str(answer)) == answer
    (again,) = load(RULE + "    on_restart: new_generation\n").rules
    assert again.treatment == Treatment(restarts=True)
    written = PAID + "    early: hold PT1H\n    on_late: dead-letter\n    on_duplicate: ignore\n"
    assert load(written).rules[0].treatment == Treatment(hold=timedelta(hours=1))


def test_the_topics_of_answers_are_known(load: Load) -> None:
    assert shipped_bindings().answer_topics == {"payment-commands"}
    assert load(RULE).answer_topics == frozenset()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("purchases", "own-topic"),
        ("com.acme.purchase.requested.v1", "org.example.thing.v3"),
        ("com.acme.purchase.requested.v1", "com.acme.purchase.requested.v2"),
    ],
)
def test_own_topics_and_types_are_welcome(load: Load, old: str, new: str) -> None:
    rule = load(RULE.replace(old, new)).rules[0]
    assert new in (rule.topic, rule.type)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("purchases", "purchses", '3: topic "purchses" is not known; did you mean "purchases"?'),
        ("purchases", "purchase", '3: topic "purchase" is not known; did you mean "purchases"?'),
        ("purchases", "Purchases", '3: topic "Purchases" is not known; did you mean "purchases"?'),
        ("purchases", '""', "3: bindings.0.topic: String should have at least 1 character"),
        ("purchases", "outcomes", '3: "outcomes" carries what Sayso itself publishes; reading it would be a loop'),
        ("purchases", "dapr-deadletters", '3: "dapr-deadletters" is read in any case: an event there is taken by the rules of its'),
        ("purchases", "deadletters", '3: "deadletters" carries what Sayso itself publishes; reading it would be a loop'),
        ("requested.v1", "requestd.v1", '4: type "com.acme.purchase.requestd.v1" is not known; did you mean "com.acme.purchase.reque'),
        ("topic:", "topc:", '3: unknown field "topc"; did you mean "topic"?'),
        ("topic:", "colour:", '3: unknown field "colour"; valid: amend, bindings, delegate, early, input, key, name,'),
        ("    topic: purchases\n", "", "2: bindings.0.topic: Field required"),
        ("order\n", "Order One\n", "2: bindings.0.name: String should match pattern"),
        ("order\n", "5\n", "2: bindings.0.name: Input should be a valid string"),
        ("    key: event.data.order_id\n", "", '2: binding "order": `key` is missing (CEL, for example event.data.order_id)'),
        ("event.data.order_id", "event.data.", "5: `event.data.`: at character 12: `.` is not understood here"),
        ("event.data.order_id", "evnt.data.order_id", '5: `evnt.data.order_id`: at character 10: there is no "evnt.data.order_id"'),
        ("event.data.order_id", "event.data.a == 'b'", "5: `event.data.a == 'b'` is not a key: it must be text or a whole number"),
        ("event.data.order_id", "'[event.data.a]'", "5: `[event.data.a]` is not a key: it must be text or a whole number"),
        ("event.data.order_id", "'1.5'", "5: `1.5` is not a key: it must be text or a whole number"),
        (
            ": purchase_order_workflow",
            ": purchase_oder_workflow",
            '6: no workflow "purchase_oder_workflow"; did you mean "purchase_order',
        ),
        (": purchase_order_workflow", ": pay", '6: no workflow "pay"; valid: approval_workflow, batch_processing_workflow, book'),
        (
            ": purchase_order_workflow",
            ": purchase_order_workflow.x",
            '6: `start` takes a workflow alone: write "purchase_order_workflow"',
        ),
        (START, "    record: false", '2: binding "order" has none; it needs exactly one of start, resume, start_or_resume, withdraw'),
        (
            "    start",
            "    record: true\n    start",
            '2: binding "order" has start and record; it needs exactly one of start, resume,',
        ),
        (
            START,
            "    start_or_resume: purchase_order_workflow",
            "6: `start_or_resume` also needs the event's name: purchase_order_workflow.approval_rec",
        ),
        (
            START,
            "    start_or_resume: purchase_order_workflow.payment_received\n    early: dead-letter",
            '7: binding "order": `early` has no effect on `start_or_resume`; remove it',
        ),
        ("    start", "    on_late: dead-letter\n    start", '6: binding "order": `on_late` has no effect on `start`; remove it'),
        ("    start", "    early: hold PT1H\n    start", '6: binding "order": `early` has no effect on `start`; remove it'),
        (START, "    record: true", '5: binding "order": `key` has no effect on `record`; remove it'),
        ("order\n", "order\n    when: event.data.cost + 1\n", "3: `event.data.cost + 1` is not a condition: it must be true or false"),
        ("order\n", "order\n    when: \"'yes'\"\n", "3: `'yes'` is not a condition: it must be true or false"),
        ("order\n", "order\n    when: event.data.x ==\n", "3: `event.data.x ==`: at character 16: it ends too early"),
        ("order\n", "order\n    topic: tasks\n", '4: "topic" stands at line 3 already'),
        (
            "    start",
            "    input: {order: event.id}\n    start",
            '6: purchase_order_workflow has no input "order"; did you mean "order_id"?',
        ),
        ("    start", "    input: {order_id: event.id}\n    start", "6: purchase_order_workflow also needs cost, product, quantity"),
        (
            "    start",
            "    payload: {order_id: event.id}\n    start",
            '6: binding "order": `payload` has no effect on `start`; remove it',
        ),
        (
            "    start",
            "    input:\n      order_id: event.id\n      cost: event.\n    start",
            "8: `event.`: at character 7: `.` is not understood here",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(load: Load, old: str, new: str, expected: str) -> None:
    assert old in RULE
    assert complaint(load, RULE.replace(old, new)).startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    resume", "    payload: {order_id: event.id}\n    resume", "6: payment_received also needs amount"),
        (
            "    resume",
            "    payload: {orderid: event.id}\n    resume",
            'payment_received has no payload "orderid"; did you mean "order_id"?',
        ),
        (".payment_received", "", "6: `resume` also needs the event's name: purchase_order_workflow.approval_received, purchase"),
        (
            "payment_received",
            "payment_recieved",
            'purchase_order_workflow does not wait for "payment_recieved"; did you mean "payment_received"?',
        ),
        ("payment_received", "Payment_Received", 'does not wait for "Payment_Received"; did you mean "payment_received"?'),
        (
            "payment_received",
            "lunch",
            'does not wait for "lunch"; valid: approval_received, change_requested, payment_failed, payment_received',
        ),
        ("purchase_order_workflow", "approval_workflow", 'approval_workflow does not wait for "payment_received"'),
        (
            "resume: purchase_order_workflow.payment_received",
            "withdraw: book_trip",
            "requests of book_trip cannot be withdrawn",
        ),
        (
            "resume: purchase_order_workflow.payment_received",
            "withdraw: purchase_order_workflow.x",
            "`withdraw` takes a workflow alone",
        ),
        (
            "    resume",
            "    input: {order_id: event.id}\n    resume",
            '6: binding "paid": `input` has no effect on `resume`; remove it',
        ),
        ("    resume", "    early: hold 1h\n    resume", '6: "hold 1h" is not understood; write for example `hold PT1H`'),
        ("    resume", "    early: PT1H\n    resume", '"PT1H" is not understood; write for example `hold PT1H`'),
        ("    resume", "    early: hold -PT1H\n    resume", '"hold -PT1H" is not understood'),
        ("    resume", "    early: hold PT0S\n    resume", '"hold PT0S" is not understood'),
        ("    resume", "    early: drop PT1H\n    resume", '"drop PT1H" is not understood'),
        ("    resume", "    early: hold P9000Y\n    resume", "write for example `hold PT1H`, at most 100 years, or `dead-letter`"),
        (
            "    resume",
            "    on_late: publish sayso.payment.refund-request.v1 to payment-commands\n    resume",
            '"sayso.payment.refund-request.v1" is no answer to a late event; did you mean "sayso.payment.refund-requested.v1"?',
        ),
        (
            "    resume",
            "    early: dead-letter PT1H\n    resume",
            "write for example `hold PT1H`, at most 100 years, or `dead-letter`",
        ),
        ("    resume", "    on_late: refund\n    resume", '6: "refund" is not understood; write `publish TYPE to TOPIC`, or `dead-le'),
        (
            "    resume",
            "    on_late: publish sayso.payment.refund-requestd.v1 to payment-commands\n    resume",
            '6: type "sayso.payment.refund-requestd.v1" is not known; did you mean "sayso.payment.refund-requested.v1"?',
        ),
        (
            "    resume",
            "    on_late: publish sayso.payment.requested.v1 to payment-commands\n    resume",
            '6: "sayso.payment.requested.v1" is no answer to a late event; did you mean "sayso.payment.refund-requested.v1"?',
        ),
        (
            "    resume",
            "    on_late: publish sayso.payment.refund-requested.v1 to refunds\n    resume",
            '6: "sayso.payment.refund-requested.v1" travels on "payment-commands", not on "refunds"',
        ),
        (
            "    resume",
            "    on_late: publish org.example.late.v1 to payments\n    resume",
            '6: a binding reads "payments": publishing to',
        ),
        (
            "payment_received\n",
            "payment_failed\n    on_late: publish sayso.payment.refund-requested.v1 to payment-commands\n",
            "7: sayso.payment.refund-requested.v1 also needs amount, currency, which this event has not",
        ),
        ("    resume", "    on_restart: refuse\n    resume", '6: binding "paid": `on_restart` has no effect on `resume`; remove it'),
        ("    resume", "    on_duplicate: shout\n    resume", "6: bindings.0.on_duplicate: Input should be 'ignore' or 'alarm'"),
    ],
)
def test_a_mistake_in_what_wakes_a_case_is_named(load: Load, old: str, new: str, expected: str) -> None:
    assert old in PAID
    assert expected in complaint(load, PAID.replace(old, new))


def test_two_bindings_of_one_name_are_refused(load: Load) -> None:
    assert complaint(load, RULE + PAID.replace("name: paid", "name: order")) == '7: the name "order" is taken by the binding at line 2'


@pytest.mark.parametrize(
    ("one", "two"),
    [(None, None), (None, "event.data.a == 1"), ("event.data.a == 1", None), ("event.data.a == 1", "event.data.a == 1")],
)
def test_two_bindings_that_take_the_same_event_are_refused(load: Load, one: str | None, two: str | None) -> None:
    def rule(name: str, when: str | None) -> str:
        return RULE.replace("order\n", f"{name}\n" + (f"    when: {when}\n" if when else ""), 1)

    words = complaint(load, rule("one", one) + rule("two", two))
    assert 'bindings "one" and "two" both take com.acme.purchase.requested.v1 on purchases' in words
    assert "give each a `when`" in words


def test_the_same_type_on_two_topics_is_no_overlap(load: Load) -> None:
    assert len(load(RULE + RULE.replace("order\n", "other\n", 1).replace("purchases", "shop-orders")).rules) == 2


def test_event_names_that_differ_only_by_case_are_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped workflows have none; a workflow added later may."""
    contract = WORKFLOWS["purchase_order_workflow"]
    events = {**contract.events, "Payment_Received": contract.events["payment_received"]}
    changed = MappingProxyType(
        {**WORKFLOWS, "purchase_order_workflow": WorkflowContract(contract.request, events, key_field=contract.key_field)}
    )
    monkeypatch.setattr(bindings_module, "WORKFLOWS", changed)
    other = PAID.replace("paid", "other").replace("captured", "settled").replace("payment_received", "Payment_Received")
    assert "differ only by case; Dapr ignores case" in complaint(load, PAID + other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "bindings.yaml:1: bindings: Field required"),
        ("bindings: []", "bindings.yaml:1: bindings: List should have at least 1 item"),
        ("bindings:\n  - 5", "bindings.yaml:2: bindings.0: Input should be a valid dictionary"),
        ("- a", "bindings.yaml:1: Input should be a valid dictionary"),
        ("rules: 1", 'bindings.yaml:1: unknown field "rules"; valid: amend, bindings'),
        ("bindings: [", "bindings.yaml:1: not valid YAML"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bindings.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_bindings(file)
    assert words in str(caught.value)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"bindings\.yaml: cannot be read \(No such file or directory\); is SAYSO_CONFIG_DIR"):
        load_bindings(tmp_path / "bindings.yaml")


AMENDS = """\
  - name: amended
    topic: purchases
    type: com.acme.purchase.amended.v1
    key: event.data.order_id
    amend: purchase_order_workflow
"""


def test_what_changes_a_request_wakes_its_workflow_under_one_name_and_says_how(load: Load) -> None:
    (rule,) = load(AMENDS).rules
    assert (rule.does, rule.change) == ("resume purchase_order_workflow.change_requested", "amend")
    (rule,) = load(AMENDS.replace("amend:", "delegate:")).rules
    assert rule.change == "delegate"


@pytest.mark.parametrize(("verb", "done"), [("withdraw", "withdrawn"), ("amend", "amended"), ("delegate", "delegated")])
def test_what_nobody_approves_is_not_changed(load: Load, verb: str, done: str) -> None:
    words = complaint(load, AMENDS.replace("amend: purchase_order_workflow", f"{verb}: book_trip"))
    assert f"requests of book_trip cannot be {done}, for nobody approves them; those of approval_workflow, " in words


def test_a_purchase_is_withdrawn_under_the_name_that_it_always_had_and_the_others_under_the_one_of_changes(load: Load) -> None:
    withdraws = AMENDS.replace("amend: purchase_order_workflow", "withdraw: WORKFLOW")
    (rule,) = load(withdraws.replace("WORKFLOW", "purchase_order_workflow")).rules
    assert (rule.event_name, rule.change) == ("withdraw_requested", None)
    (rule,) = load(withdraws.replace("WORKFLOW", "approval_workflow")).rules
    assert (rule.event_name, rule.change) == ("change_requested", "withdraw")
