"""The ledger's tables.

Times are integers, milliseconds since 1970 UTC, by the database's clock (`…_at_ms`). `due_at_ms` is both schedule and lease: a
row is due when it has passed, leasing moves it ahead, finishing sets it to NULL; so a crash needs no cleaning up.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from sayso.ledger.words import Words as Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only by INTEGER


def _serial() -> Column[int]:
    return Column("seq", Serial, primary_key=True, autoincrement=True)


ledger_info = Table(
    "ledger_info",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# Every message that ever arrived, one row each; a repetition is counted in `sightings`.
events = Table(
    "events",
    metadata,
    _serial(),
    Column("topic", Text, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the original bytes"),
    Column("original", LargeBinary, nullable=False, comment="the bytes as they came"),
    Column("identity", String(64), unique=True, comment="SHA-256 of source and id, claimed when the event is understood"),
    Column("content_digest", String(64)),
    Column("source", Text),
    Column("event_id", Text),
    Column("type", Text),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("binding", Text),
    Column("workflow", Text),
    Column("key", Text),
    Column("event_name", Text),
    Column("payload", Text, comment="what is raised, JSON, validated"),
    Column("instance_id", String(64)),
    Column("on_late", Text, comment="TYPE to TOPIC: what is published if it comes too late, as its binding said"),
    Column("on_duplicate", String(16), comment="alarm, as its binding said"),
    Column("answered_by", String(200), comment="id of the event that was published because it came too late"),
    Column("held_source", String(64), comment="SHA-256 of its source, once it has been held"),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("last_seen_at_ms", BigInteger, nullable=False),
    Column("sightings", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at_ms", BigInteger),
    Column("redacted_at_ms", BigInteger, comment="since when a person is erased from its bytes"),
    UniqueConstraint("topic", "digest"),
    sqlite_autoincrement=True,  # a number never comes back, although a repetition's row is deleted
)
Index(
    "ix_events_due",
    events.c.due_at_ms,
    sqlite_where=events.c.due_at_ms.isnot(None),
    postgresql_where=events.c.due_at_ms.isnot(None),
)
Index("ix_events_key", events.c.workflow, events.c.key)
Index("ix_events_instance", events.c.instance_id)
Index("ix_events_state", events.c.state)
_held = events.c.state == "held"
Index("ix_events_held", events.c.held_source, sqlite_where=_held, postgresql_where=_held)

# One row per (workflow, key): the lock that every transaction on a case takes first.
case_keys = Table(
    "case_keys",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("generations", Integer, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("phase", String(16), nullable=False, comment="starting, running, closed"),
    Column("stage", Text, comment="what it waits for, in words"),
    Column("input", Text, nullable=False, comment="the workflow's input, JSON"),
    Column("outcome", String(32)),
    Column("result", Text, comment="what the workflow returned, JSON"),
    Column("reason", Text),
    Column("milestones", Text, comment="JSON list"),
    Column("opened_by", Serial, ForeignKey("events.seq"), comment="the event that opened it"),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("closed_at_ms", BigInteger),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("due_at_ms", BigInteger),
    Column("check_at_ms", BigInteger, comment="when it is compared with the engine next; like due_at_ms schedule and lease"),
    Column("checked_at_ms", BigInteger, comment="when it was compared last"),
    Column("absent_since_ms", BigInteger, comment="since when the engine does not know it"),
    Column("run", Integer, nullable=False, server_default="1", comment="which instance of the engine it has"),
    Column("raise_after", Serial, comment="its events behind this number are raised again"),
    Column("finding", Text, comment="what the comparison found, when something is wrong"),
    Column("suspended_at_ms", BigInteger, comment="since when somebody wants it suspended"),
    Column("ended_as", String(16), comment="FAILED or TERMINATED, when its workflow did not end it"),
    Column("rerun_of", String(64), comment="the failed case that it goes on with"),
    Column("amended", Text, comment="JSON: its request and its approval plan, since it was amended"),
    UniqueConstraint("workflow", "key", "generation"),
)
_open = cases.c.phase != "closed"
Index("ux_cases_one_open", cases.c.workflow, cases.c.key, unique=True, sqlite_where=_open, postgresql_where=_open)
Index("ix_cases_due", cases.c.due_at_ms, sqlite_where=cases.c.due_at_ms.isnot(None), postgresql_where=cases.c.due_at_ms.isnot(None))
Index(
    "ix_cases_check",
    cases.c.check_at_ms,
    sqlite_where=cases.c.check_at_ms.isnot(None),
    postgresql_where=cases.c.check_at_ms.isnot(None),
)
Index("ix_cases_opened", cases.c.opened_at_ms)
Index("ix_cases_opened_by", cases.c.opened_by)  # or each event that goes, a repetition for example, would have all cases looked at

# What operators asked for: each act is one row, carried out by the dispatcher in the order of a case's acts.
acts = Table(
    "acts",
    metadata,
    _serial(),
    Column("instance_id", String(64), nullable=False),
    Column("act", String(16), nullable=False, comment="suspend, resume, terminate, purge"),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False, comment="asked, done, void"),
    Column("answer", Text, comment="what came of it"),
    Column("done_at_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("due_at_ms", BigInteger),
)
Index("ix_acts_due", acts.c.due_at_ms, sqlite_where=acts.c.due_at_ms.isnot(None), postgresql_where=acts.c.due_at_ms.isnot(None))
Index("ix_acts_instance", acts.c.instance_id)

# Claim check: texts too large for the engine's history. The workflow gets a reference, activities and readers the text.
claims = Table(
    "claims",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True, comment="SHA-256 of the text; the reference names it"),
    Column("body", Text, nullable=False),
)

# What activities did: one row per case, step and iteration, so that a rerun finds its answer.
steps = Table(
    "steps",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("iteration", Integer, primary_key=True),
    Column("result", Text, nullable=False, comment="JSON"),
    Column("done_at_ms", BigInteger, nullable=False),
)

# Undos of sagas that failed for good: what a person has to settle with the service.
compensations = Table(
    "compensations",
    metadata,
    Column("instance_id", String(64), ForeignKey("cases.instance_id"), primary_key=True),
    Column("step", Text, primary_key=True, comment="what was to be undone"),
    Column("undo", Text, nullable=False),
    Column("error", Text, nullable=False, comment="the service's words"),
    Column("booking", Text, comment="what the service had answered to the step, JSON; NULL: not known"),
    Column("failed_at_ms", BigInteger, nullable=False),
    Column("settled_at_ms", BigInteger),
    Column("settled_by", Text),
    Column("settled_reason", Text),
)
Index(
    "ix_compensations_open",
    compensations.c.failed_at_ms,
    sqlite_where=compensations.c.settled_at_ms.is_(None),
    postgresql_where=compensations.c.settled_at_ms.is_(None),
)

# Approval tasks: who is asked, until when, and what became of it.
tasks = Table(
    "tasks",
    metadata,
    Column("instance_id", String(64), ForeignKey("cases.instance_id"), primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("assigned_to", Text, nullable=False),
    Column("state", String(16), nullable=False, comment="open, decided, expired, cancelled"),
    Column("decision", String(16)),
    Column("decided_by", Text),
    Column("comment", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("decided_at_ms", BigInteger),
    Column("votes", Text, comment="JSON list: who decided what, in whose place; NULL: no policy"),
)
Index("ix_tasks_open", tasks.c.due_at_ms, sqlite_where=tasks.c.state == "open", postgresql_where=tasks.c.state == "open")

# Every event that Sayso publishes, written in the transaction that causes it.
outbox = Table(
    "outbox",
    metadata,
    _serial(),
    Column("event_id", String(200), nullable=False, unique=True),
    Column("topic", Text, nullable=False),
    Column("partition_key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("instance_id", String(64)),
    Column("body", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("published_at_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("due_at_ms", BigInteger),
)
Index(
    "ix_outbox_due",
    outbox.c.due_at_ms,
    sqlite_where=outbox.c.due_at_ms.isnot(None),
    postgresql_where=outbox.c.due_at_ms.isnot(None),
)
Index("ix_outbox_instance", outbox.c.instance_id)

# Notices to people, written like the outbox, sent by the worker.
notices = Table(
    "notices",
    metadata,
    _serial(),
    Column("notice_id", String(200), nullable=False, unique=True),
    Column("instance_id", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("sent_at_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("due_at_ms", BigInteger),
)
Index(
    "ix_notices_due",
    notices.c.due_at_ms,
    sqlite_where=notices.c.due_at_ms.isnot(None),
    postgresql_where=notices.c.due_at_ms.isnot(None),
)
Index("ix_notices_instance", notices.c.instance_id)

# Who did what to which case or event. Entries are inserted unsealed; the sealer numbers and chains them (`sealing.py`).
audit = Table(
    "audit",
    metadata,
    _serial(),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("instance_id", String(64)),
    Column("event_seq", Serial),
    Column("detail", Text, nullable=False, comment="JSON"),
    Column("number", BigInteger, comment="set by the sealer"),
    Column("seal", String(64), comment="set by the sealer"),
    Column("salts", Text, comment="JSON: of each personal field that was not erased"),
    Column("commitments", Text, comment="JSON: what the seal covers in place of the personal fields"),
)
Index("ix_audit_instance", audit.c.instance_id)
Index("ix_audit_event", audit.c.event_seq)
_sealed, _unsealed = audit.c.number.isnot(None), audit.c.number.is_(None)
Index("ux_audit_number", audit.c.number, unique=True, sqlite_where=_sealed, postgresql_where=_sealed)
Index("ix_audit_unsealed", audit.c.seq, sqlite_where=_unsealed, postgresql_where=_unsealed)

# Where the chain ends: one row, locked by whoever seals.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("seal", String(64), nullable=False),
    Column("key_mark", String(16), nullable=False, comment="tells one key from another, and nothing of either"),
    Column("anchored_number", BigInteger, nullable=False),
    Column("anchored_at_ms", BigInteger, nullable=False),
)

# What is left of a pruned event, so that it is known when it comes again.
tombstones = Table(
    "tombstones",
    metadata,
    Column("identity", LargeBinary(32), primary_key=True, comment="SHA-256 of source and id"),
    Column("content_digest", LargeBinary(32), nullable=False),
    Column("pruned_at_ms", BigInteger, nullable=False),
    Column("sightings", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Instances of pruned cases that the engine still keeps.
engine_purges = Table(
    "engine_purges",
    metadata,
    Column("instance_id", String(64), primary_key=True),
    Column("pruned_at_ms", BigInteger, nullable=False),
)
