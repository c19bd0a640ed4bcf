"""What the rules say for a case: `workflow_plans` from the settings, `planning` from the policies in `config/policies/`. Pure."""

from sayso.policy.workflow_plans import POLICIES, STAGE, WorkflowPolicy, asks_nobody, in_words, passes_by_itself, planned_retries

__all__ = ["POLICIES", "STAGE", "WorkflowPolicy", "asks_nobody", "in_words", "passes_by_itself", "planned_retries"]
