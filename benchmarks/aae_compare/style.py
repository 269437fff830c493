"""How the report looks: light whatever the reader's system prefers, one column, and fit to be printed."""

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 48px; max-width: 1264px; background: #fff; color: #1f2933;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 19px; margin: 36px 0 6px; padding-top: 14px; border-top: 1px solid #d9dee4; }
h3 { font-size: 16px; margin: 0 0 8px; }
p { margin: 4px 0 12px; max-width: 100ch; }
p.note { max-width: 130ch; }
p.note, figcaption, dd, dt { font-size: 13px; }
p.note, figcaption, small, dt { color: #5a6672; }
small { display: block; font-size: 11px; font-weight: 400; }
code { font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
img, svg { display: block; width: 100%; height: auto; }
svg { font: 11px system-ui, "DejaVu Sans", sans-serif; }
figure { margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 12px 0 0; }
dd { margin: 0; }
.verdict { margin: 18px 0; padding: 16px 20px; background: #eef4fb; border-left: 5px solid #2563a8; }
.verdict p { font-size: 17px; margin: 0; max-width: none; }
.verdict.open { background: #f4f5f7; border-left-color: #6b7785; }
.warnings { margin: 18px 0; padding: 12px 20px; background: #fdf4e3; border-left: 5px solid #c77f0a; }
.warnings h2 { margin: 0 0 4px; padding: 0; border: 0; font-size: 16px; }
.warnings ul { margin: 0; padding-left: 18px; font-size: 13px; }
.warnings li { margin: 3px 0; }
.intervals svg { font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 5px; text-align: right; vertical-align: top; border-bottom: 1px solid #e6e9ed; }
td { white-space: nowrap; }
thead th { font-weight: 500; color: #5a6672; font-size: 12px; line-height: 1.25; vertical-align: bottom; }
thead th.group { text-align: left; font-weight: 600; color: #1f2933; border-bottom: 0; padding-bottom: 0; }
.group + .group, .first { border-left: 1px solid #d9dee4; }
.families th:first-child { border-left: 0; text-align: left; }
tbody th { text-align: left; font-weight: 600; white-space: nowrap; }
.evidence tbody th, .kinds tbody th { white-space: normal; min-width: 190px; max-width: 320px; }
tr.best > * { background: #eef4fb; }
.parts { display: grid; gap: 4px 6px; align-items: start; margin: 0 0 22px; break-inside: avoid; }
.parts .head { font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
.parts .head small { font-weight: 400; }
.parts figcaption { font-size: 11px; line-height: 1.3; padding-top: 2px; }
.ng { color: #b3261e; font-weight: 600; }
.ok { color: #2c6e2f; font-weight: 600; }
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
  body { max-width: none; padding: 0; font-size: 11px; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; break-inside: avoid; }
  .cards { grid-template-columns: 1fr 1fr; gap: 10px; }
  table { font-size: 8.5px; }
  th, td { padding: 3px 3px; }
  small { font-size: 7.5px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
