/** The page's style sheet. Its hash stands in the page's Content-Security-Policy, and nothing else may style or run. */
export const STYLE = `
:root{color-scheme:light dark;--field:light-dark(#f3f5f7,#22272c)}
body{margin:auto;max-width:64rem;padding:2rem 1rem;font:16px/1.6 system-ui,sans-serif}
h2{margin-top:4rem}
h3,small{opacity:.7;font-size:1rem;font-weight:400}
nav a{margin-right:1rem}
code,pre{font:.9em/1.5 monospace;background:var(--field);padding:.1em .3em}
pre{padding:1rem;overflow:auto;max-height:24rem}
pre.run{user-select:all;border-left:3px solid}
table{width:100%;border-spacing:0}
td{padding:.5rem 1rem .5rem 0;border-top:1px solid var(--field);vertical-align:top;min-width:9rem}
@media(max-width:44rem){td{display:block;border:0;padding:.2rem 0}}
`;
