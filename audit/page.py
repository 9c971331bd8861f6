"""The report as one page that needs nothing else: no script, no font, no network."""

from html import escape
from string import Template

from audit.findings import Finding
from audit.report import Report, ShardReport

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit of $program</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { border-left: .4rem solid; padding: .6rem 1rem; font-weight: 600; }
.whole { border-color: #1a7f37; } .damaged { border-color: #cf222e; }
.open { border-color: #bf8700; }
.finding { border: 1px solid #8886; border-left: .4rem solid #cf222e; padding: .5rem 1rem;
  margin: .8rem 0; overflow-wrap: anywhere; }
.place { font-weight: 600; } .do { margin-top: .3rem; } code { font-size: .85em; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
.scroll { overflow-x: auto; }
</style></head><body>
<h1>Audit of the ledger of $program</h1>
<p class="verdict $class">$verdict</p>
<p>Ledger <code>$ledger</code>, looked at on $began in $seconds s. $scope</p>
$findings
$open
<h2>Shards</h2>
<div class="scroll"><table><thead><tr><th>shard</th><th>verified to</th><th>head</th>
<th>went on after</th><th>events</th><th>dedupe rows</th><th>events folded</th>
<th class="text">state</th><th class="text">hash there</th></tr></thead>
<tbody>$shards</tbody></table></div>
<h2>Postings</h2>
<p>Signed points by account of the double entry; together they must be 0.</p>
<table><tbody>$postings</tbody></table>
</body></html>
""")


def page(report: Report) -> str:
    """The whole page."""
    wrong = report.findings
    kind, verdict = "whole", "Nothing is wrong in what was looked at."
    if wrong:
        kind, verdict = "damaged", f"{len(wrong)} differences were found."
    elif not report.ended:
        kind, verdict = "open", "The audit was stopped before its end; nothing is wrong so far."
    told = [f"shard {s.shard}: {reason}" for s in report.shards for reason in s.not_compared]
    return _PAGE.substitute(
        program=escape(report.program_id),
        ledger=escape(report.ledger_id),
        began=escape(report.began_at),
        seconds=f"{report.seconds:.1f}",
        scope=escape(" ".join(report.checkpoints)),
        **{"class": kind},
        verdict=verdict,
        findings="".join(["<h2>What is wrong</h2>", *map(_finding, wrong)]) if wrong else "",
        open=_list("Not compared", told),
        shards="".join(map(_shard, report.shards)),
        postings=_postings(report),
    )


def _finding(finding: Finding) -> str:
    many = f" ({finding.count} rows differ)" if finding.count > 1 else ""
    return (
        f'<div class="finding"><div class="place">{escape(finding.place)}</div>'
        f"<div>{escape(finding.what)}{many} <code>{finding.code}</code></div>"
        f'<div class="do">{escape(finding.do)}</div></div>'
    )


def _list(heading: str, lines: list[str]) -> str:
    if not lines:
        return ""
    return f"<h2>{heading}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _shard(shard: ShardReport) -> str:
    state = "damaged" if shard.findings else "whole" if shard.ended else "stopped"
    numbers = (
        shard.shard,
        shard.position,
        shard.head,
        shard.since,
        shard.events,
        shard.inputs,
        shard.folded,
    )
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    return (
        f'<tr>{cells}<td class="text">{state}</td>'
        f'<td class="text"><code>{shard.hash[:16]}…</code></td></tr>'
    )


def _postings(report: Report) -> str:
    rows = [*report.postings.items(), ("together", sum(report.postings.values()))]
    return "".join(f"<tr><td>{escape(name)}</td><td>{points}</td></tr>" for name, points in rows)
