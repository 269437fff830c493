"""How the report looks: as a run's report does, with what a table of families needs besides."""

from aae_train.report.style import SHARED_CSS

CSS = (
    SHARED_CSS
    + """
.intervals svg { font-size: 13px; }
.group + .group, .first { border-left: 1px solid #d9dee4; }
.families th:first-child { border-left: 0; text-align: left; }
.evidence tbody th, .kinds tbody th { white-space: normal; min-width: 190px; max-width: 320px; }
tr.best > * { background: #eef4fb; }
.parts { display: grid; gap: 4px 6px; align-items: start; margin: 0 0 22px; break-inside: avoid; }
.parts .head { font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
.parts .head small { font-weight: 400; }
.parts figcaption { font-size: 11px; line-height: 1.3; padding-top: 2px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); gap: 20px;
  align-items: start; }
.card { border: 1px solid #d9dee4; border-radius: 6px; padding: 14px 16px; break-inside: avoid; }
.card .two { display: grid; grid-template-columns: 3fr 2fr; gap: 14px; margin-bottom: 12px; align-items: start; }
.card figcaption { padding-top: 4px; }
@media (max-width: 1100px) {
  table.families { font-size: 11px; }
  .families th, .families td { padding: 5px 3px; }
  .families thead th, .families tbody th { font-size: 10.5px; }
  .families small { font-size: 9px; }
}
@media print {
  .cards { grid-template-columns: 1fr 1fr; gap: 10px; }
}
"""
)
