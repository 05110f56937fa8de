/** The page's style sheet. Its hash stands in the page's Content-Security-Policy, and nothing else may style or run. */
export const STYLE = `
:root{color-scheme:light dark;--soft:light-dark(#5b646c,#9aa4ad);--field:light-dark(#f4f6f8,#1d2226);--line:light-dark(#dfe4e8,#30373d)}
body{margin:0 auto;max-width:64rem;padding:2.5rem 1.25rem;font:16px/1.6 system-ui,sans-serif;color:light-dark(#1c2024,#e6e8ea);background:light-dark(#fff,#14171a)}
h2{margin-top:3.5rem;padding-top:1.25rem;border-top:1px solid var(--line);font-size:1.2rem}
h3,small{color:var(--soft);font-size:1rem;font-weight:400}
a{color:light-dark(#0b63c5,#6cb2ff)}
nav a{margin-right:1.25rem}
code,pre{font:.875em/1.55 ui-monospace,Menlo,monospace;background:var(--field);border-radius:6px}
code{padding:.1em .35em;overflow-wrap:anywhere}
pre{padding:.8rem 1rem;overflow:auto;max-height:24rem}
pre.run{user-select:all;cursor:copy;border-left:3px solid}
table{width:100%;border-collapse:collapse;font-size:.94rem}
td{padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td:first-child{width:11rem}
td:nth-child(3){width:16rem}
@media(max-width:44rem){td,td:nth-child(n){display:block;width:auto;border:0;padding:.15rem 0}}
`;
