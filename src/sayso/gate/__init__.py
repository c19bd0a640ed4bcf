"""The one decision gate, pure: `admission` is what holds for every event, `voting` judges decisions on the stages of a policy's plan,
`stages` opens and times them, `changes` is changing one's mind. What does not pass is `Refused`, with a reason for a person.
"""

from sayso.gate.admission import UNSTORABLE, Decision, Refused, Stage, admit, came_late, decide, same_person

__all__ = ["UNSTORABLE", "Decision", "Refused", "Stage", "admit", "came_late", "decide", "same_person"]
