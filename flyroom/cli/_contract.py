"""What `run --json` promises: keys may be added, never renamed."""

from typing import Any


def contract(account: Any) -> dict[str, Any]:
    """A judged claim in plain values, as `run --json` prints it."""
    judgement = account.judgement
    statements = [
        {
            "id": one.id,
            "sentence": one.sentence,
            "verdict": one.verdict.value,
            "value": one.value,
            "interval": one.interval,
            "published": one.published,
            "evidence": one.evidence.name,
            "n": one.n,
            "p": one.p,
            "unit": one.unit,
            "headline": one.headline,
        }
        for one in judgement.statements
    ]
    return {
        "id": judgement.claim,
        "version": judgement.version,
        "verdict": judgement.verdict.value,
        "sentence": judgement.sentence,
        "statements": statements,
        "table": judgement.table,
        "runs": judgement.runs,
        "wall_s": judgement.wall_s,
        "cpu_s": judgement.cpu_s,
    }
