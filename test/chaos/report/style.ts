/** Of the page: both schemes by the same names, so that a picture is drawn once. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --soft: #5d6671; --line: #d8dde3; --well: #eef1f4;
  --band: #f6f8fa; --bad: #c4232f; --good: #18794e; --fault: #f3b9a0; --gone: #c4232f; --paused: #e0a100;
  --c0: #1f6fd0; --c1: #d1641a; --c2: #18794e; --c3: #a3379e; --c4: #8a6d00; --c5: #c4232f; --c6: #0b7f8c;
  --c7: #6b55c7; --c8: #64748b; --c9: #7a4a21; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --ink: #e6e9ed; --soft: #9aa5b1; --line: #343b44;
  --well: #20252b; --band: #1a1e23; --bad: #ff7b81; --good: #5fd39b; --fault: #8a4a30; --gone: #ff7b81;
  --paused: #e3b341; --c0: #6cb0ff; --c1: #ff9d5c; --c2: #5fd39b; --c3: #e58be0; --c4: #d9bb4a; --c5: #ff7b81;
  --c6: #4fd0de; --c7: #ab9bff; --c8: #a3b1c2; --c9: #d09a6b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 1320px; background: var(--page); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; } code, pre { font: 12.5px/1.5 ui-monospace, monospace; }
pre { margin: .25rem 0 .75rem; padding: .5rem .75rem; background: var(--well); border-radius: 4px; overflow-x: auto; }
.bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
summary { cursor: pointer; padding: .2rem 0; }
.picture { overflow-x: auto; } svg { display: block; width: 100%; min-width: 900px; height: auto; }
svg text { font: 10.5px system-ui, sans-serif; fill: var(--soft); } svg .title { font-weight: 600; fill: var(--ink); }
svg .tick { text-anchor: end; } svg .time { text-anchor: middle; }
svg rect.phase.p0 { fill: var(--band); } svg rect.phase.p1 { fill: none; }
svg .grid { stroke: var(--line); stroke-width: .5; } svg .base { stroke: var(--line); }
svg line.mark { stroke: var(--bad); stroke-width: 1; stroke-dasharray: 3 3; }
svg text.mark { fill: var(--bad); text-anchor: middle; font-weight: 600; }
svg .line { fill: none; stroke-width: 1.3; stroke-linejoin: round; stroke-linecap: round; }
svg .area { stroke: none; fill-opacity: .45; }
svg .well { fill: var(--well); } svg .bar.fault { fill: var(--fault); } svg .bar.gone { fill: var(--gone); }
svg .bar.paused { fill: var(--paused); } svg .bar.epoch { fill: var(--c0); } svg .bar.other { fill: var(--c1); }
svg text.in { fill: var(--ink); } svg text.by { fill: var(--soft); }
${Array.from({ length: 10 }, (_, index) => `svg .line.c${index} { stroke: var(--c${index}); } svg .area.c${index}, svg .dot.c${index} { fill: var(--c${index}); }`).join("\n")}
`;
