"""How pages look: light whatever the reader's system prefers, one column, and fit to be printed."""

SHARED_CSS = """
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
.warnings li { margin: 3px 0; white-space: pre-line; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 5px; text-align: right; vertical-align: top; border-bottom: 1px solid #e6e9ed; }
td { white-space: nowrap; }
thead th { font-weight: 500; color: #5a6672; font-size: 12px; line-height: 1.25; vertical-align: bottom; }
thead th.group { text-align: left; font-weight: 600; color: #1f2933; border-bottom: 0; padding-bottom: 0; }
tbody th { text-align: left; font-weight: 600; white-space: nowrap; }
.ng { color: #b3261e; font-weight: 600; }
.ok { color: #2c6e2f; font-weight: 600; }
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; break-inside: avoid; }
  table { font-size: 8.5px; }
  th, td { padding: 3px 3px; }
  small { font-size: 7.5px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
"""Of every page of the project."""

CSS = (
    SHARED_CSS
    + """
.verdict p + p { margin-top: 6px; font-size: 15px; }
.verdict.good { background: #eef7ef; border-left-color: #2c6e2f; }
.verdict.doubt { background: #fdf4e3; border-left-color: #c77f0a; }
.verdict.bad { background: #fcefee; border-left-color: #b3261e; }
.verdict strong { font-size: 20px; }
.histogram { max-width: 900px; margin: 8px 0; }
.histogram svg { font-size: 13px; }
.histogram text { paint-order: stroke; stroke: #fff; stroke-width: 5px; }
.curves img { max-width: 860px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(138px, 1fr)); gap: 14px 8px;
  align-items: start; margin: 8px 0 4px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(576px, 100%), 1fr)); gap: 0 24px; }
.tiles figure { break-inside: avoid; }
.tiles img { margin-bottom: 4px; max-height: 220px; object-fit: contain; object-position: left; }
.tiles img:hover { position: relative; z-index: 1; transform: scale(2); }
.tiles figure:nth-child(8n+1) img { transform-origin: left; }
.tiles figure:nth-child(8n) img { transform-origin: right; }
.tiles figcaption { font-size: 11px; line-height: 1.35; overflow-wrap: anywhere; }
.labels { max-height: 560px; overflow-y: auto; border: 1px solid #d9dee4; max-width: 900px; }
.labels thead th { position: sticky; top: 0; background: #fff; }
.labels td.name { white-space: normal; overflow-wrap: anywhere; }
.rows th, .rows td { padding: 3px 10px; text-align: left; }
.rows .number { text-align: right; }
.found { width: auto; margin: 8px 0; }
.found th, .found td { padding: 4px 14px 4px 0; }
tr.wrong > * { background: #fcefee; }
@media print {
  .labels { max-height: none; overflow: visible; border: 0; }
  .tiles { grid-template-columns: repeat(8, 1fr); }
}
"""
)
"""Of a run's report."""
