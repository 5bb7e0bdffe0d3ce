"""How the docs page looks: by day and by night, on paper too. No script, no font, nothing from elsewhere."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1f24; --soft: #5b6470; --page: #fff; --box: #f5f6f8; --line: #dfe3e8;
  --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --soft: #9aa5b1; --page: #14171a; --box: #1e2226; --line: #333a41; --link: #78b4f2; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--page); font: 16px/1.55 system-ui, sans-serif;
  display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem; border-right: 1px solid var(--line);
  background: var(--box); font-size: 0.85rem; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav li { margin: 0.2rem 0; overflow-wrap: anywhere; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 60rem; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
h1 { line-height: 1.2; }
h1 small { color: var(--soft); font-weight: normal; font-size: 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2.5rem 0 0.5rem; overflow-wrap: anywhere; }
h3 a { color: inherit; }
h4 { margin: 1.2rem 0 0.3rem; color: var(--soft); font-size: 0.9rem; }
:target > h3, tr:target { background: var(--box); }
code, pre { font: 0.85rem/1.5 ui-monospace, monospace; }
p code, td code, li code { background: var(--box); padding: 0.1em 0.3em; border-radius: 3px; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: 0.8rem 1rem;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 3.6em; color: var(--soft); font: bold 0.8em ui-monospace, monospace; }
@media (max-width: 50rem) {
  body { display: block; }
  nav { position: static; height: auto; border: 0; }
  main { padding: 1rem 1.2rem 4rem; }
}
@media print { nav { display: none; } body { display: block; } }
"""
