"""The style of the page, light and dark."""

TABLES = 6  # synthetic tables that have a colour each

STYLE = """
:root { color-scheme:light dark; --ink:#222d37; --soft:#55626f; --line:#d9dfe4; --faint:#e6e9ec;
  --accent:#0b6478; --paper:#fff; --ground:#f5f6f7; --real:#9aa7b5; --synthetic:#0f7d97;
  --critic:#b4622f; --good:#17713f; --fair:#8a5a00; --bad:#b3261e; --unknown:#5a6672;
  --more:#c25a1e; --less:#2f6fc0;
  --t0:#0f7d97; --t1:#b4622f; --t2:#6d4fae; --t3:#3f7d33; --t4:#b03a6a; --t5:#8a6d00; }
@media (prefers-color-scheme:dark) { :root { --ink:#e4e9ee; --soft:#a3b0bc; --line:#37424d;
  --faint:#2c363f; --accent:#6cc7dc; --paper:#1b232b; --ground:#12181e; --real:#7b8a99;
  --synthetic:#3fb5d0; --critic:#e09a6a; --good:#5cc98a; --fair:#e0b050; --bad:#ff8a80;
  --unknown:#a3b0bc; --more:#d9773a; --less:#5b93dd;
  --t0:#3fb5d0; --t1:#e09a6a; --t2:#b79cf0; --t3:#8cc97a; --t4:#f08ab5; --t5:#d9bb4a; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--ground); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main { max-width:1400px; margin:0 auto; padding:32px 24px 64px; }
h1 { font-size:1.8rem; line-height:1.2; margin:0 0 6px; overflow-wrap:anywhere; }
h2 { font-size:1.3rem; margin:48px 0 6px; }
h3 { font-size:1rem; margin:0; overflow-wrap:anywhere; }
p { margin:6px 0 14px; max-width:88ch; overflow-wrap:anywhere; }
a { color:var(--accent); } :focus-visible { outline:3px solid var(--accent); outline-offset:2px; }
.soft { color:var(--soft); } .small { font-size:.86rem; }
.unseen { position:absolute; width:1px; height:1px; overflow:hidden; clip-path:inset(50%); }
.skip { position:absolute; left:-999px; }
.skip:focus { left:12px; top:8px; background:var(--paper); padding:8px; }
nav { margin:22px 0 0; } nav ul { display:flex; flex-wrap:wrap; gap:4px 18px; list-style:none;
  padding:0; margin:0; font-size:.92rem; }
.grid { display:grid; gap:16px; align-items:start;
  grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr)); }
.wide { grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr)); }
.verdicts dd { overflow-wrap:anywhere; }
.verdicts { align-items:stretch;
  grid-template-columns:repeat(auto-fit,minmax(min(100%,215px),1fr)); margin-top:22px; }
.card { background:var(--paper); border:1px solid var(--line); border-radius:10px;
  padding:14px 16px; min-width:0; }
.card p { margin:8px 0 0; } .card .scroll { border-radius:6px; }
svg { display:block; width:100%; height:auto; margin-top:8px; } svg text { fill:var(--ink); }
.verdict { border-left:8px solid var(--c); } .verdict .grade { color:var(--c); font-weight:700;
  font-size:1.25rem; }
.good { --c:var(--good); } .fair { --c:var(--fair); } .bad { --c:var(--bad); }
.unknown { --c:var(--unknown); }
.alarm { background:#b3261e; color:#fff; border-radius:10px; padding:20px 24px; margin-top:20px;
  font-size:1.35rem; line-height:1.35; font-weight:650; }
.alarm strong { display:block; font-size:1.7rem; }
.scroll { overflow-x:auto; background:var(--paper); border:1px solid var(--line);
  border-radius:10px; }
table { border-collapse:collapse; width:100%; font-size:.9rem;
  font-variant-numeric:tabular-nums; }
th, td { text-align:right; padding:6px 10px; border-top:1px solid var(--line);
  vertical-align:top; font-weight:400; }
th .soft { font-weight:400; }
th:first-child, td.why { text-align:left; } tbody th { font-weight:600; min-width:7em;
  max-width:24em; overflow-wrap:break-word; }
thead th, caption { color:var(--soft); font-size:.84rem; } caption { text-align:left;
  padding:6px 10px; } thead th, thead td { border-top:0; }
.scores tbody th { min-width:9em; max-width:none; } .scores td { white-space:nowrap; }
.scores .why { display:block; font-weight:400; color:var(--soft); font-size:.92em;
  max-width:80ch; }
.scores .note { display:block; color:var(--bad); max-width:80ch; }
.scores .group th { background:var(--faint); } .missing { margin-top:14px; }
.columns th[scope=rowgroup] { text-align:left; min-width:9em; max-width:16em;
  overflow-wrap:break-word; position:sticky; left:0; background:var(--paper); }
.columns td, .columns thead th { white-space:nowrap; }
.columns tbody { border-top:2px solid var(--line); } .columns .type { font-weight:400;
  display:block; color:var(--soft); font-size:.84rem; }
.columns td.why { white-space:normal; color:var(--soft); }
.bars { margin-top:8px; table-layout:fixed; } .bars th, .bars td { padding:3px 4px; border:0;
  vertical-align:middle; }
.bars tbody th { font-weight:400; min-width:0; overflow-wrap:anywhere; font-size:.84rem;
  line-height:1.25; }
.bars thead th { overflow-wrap:anywhere; }
.bars td { font-size:.82rem; white-space:nowrap; } .bars thead :nth-child(1) { width:31%; }
.bars thead :nth-child(2) { width:31%; }
.bars td.box svg { margin:0; } .pair i { display:block; height:7px; margin:1px 0; min-width:1px; }
i.real, .key i.real { background:var(--real); } i.synthetic { background:var(--synthetic); }
i.critic { background:var(--critic); }
svg .real { fill:var(--real); } svg .synthetic { fill:var(--synthetic); }
svg .outline { fill:none; stroke-width:1.8; stroke-linejoin:round; }
svg .outline.synthetic { stroke:var(--synthetic); }
svg .faint { stroke:var(--faint); } svg .ink { stroke:var(--soft); }
svg .median { stroke:var(--ink); stroke-width:2.5; }
svg .panel { fill:none; stroke:var(--line); }
svg .line { fill:none; stroke-width:2; } svg .line.real { stroke:var(--real);
  stroke-dasharray:6 4; } svg .line.synthetic { stroke:var(--synthetic); }
svg .line.critic { stroke:var(--critic); }
.key { display:flex; flex-wrap:wrap; gap:4px 16px; font-size:.86rem; color:var(--soft);
  margin:4px 0 10px; } .key i { display:inline-block; width:14px; height:12px; border-radius:2px;
  margin-right:6px; vertical-align:-1px; }
.panels { display:grid; gap:8px;
  grid-template-columns:repeat(auto-fit,minmax(min(100%,180px),1fr)); }
.plane .panels { grid-template-columns:1fr 1fr; }
figure { margin:0; min-width:0; max-width:280px; }
.plane figure { max-width:340px; }
figcaption { font-size:.84rem; color:var(--soft); text-align:center; }
.maps { display:flex; flex-wrap:wrap; gap:16px; align-items:start; }
.maps .card { max-width:100%; } .heat { width:auto; } .heat td, .heat th {
  padding:3px 4px; font-size:.74rem; text-align:right; }
.heat td { min-width:2.9em; } .heat tbody th { white-space:nowrap; min-width:0; font-weight:400;
  position:sticky; left:0; background:var(--paper); }
.heat thead th { vertical-align:bottom; padding:4px 2px; } .heat thead span { writing-mode:
  vertical-rl; transform:rotate(180deg); display:inline-block; white-space:nowrap; }
.joint tbody th { min-width:6.5em; } .card .scroll { margin-top:10px; }
.joint th, .joint td { font-size:.8rem; padding:4px 8px; } .joint td { white-space:nowrap; }
.more { background:color-mix(in srgb,var(--more) calc(var(--v)*55%),var(--paper)); }
.less { background:color-mix(in srgb,var(--less) calc(var(--v)*55%),var(--paper)); }
.self { background:var(--faint); }
.head { display:flex; justify-content:space-between; gap:12px; align-items:baseline; }
.head .score { font-variant-numeric:tabular-nums; font-size:.9rem; color:var(--accent);
  white-space:nowrap; }
.look { margin-top:16px; } .look h2 { font-size:1rem; margin:0; } .look ul { margin:4px 0;
  padding-left:20px; } .look li { margin:4px 0;
  max-width:90ch;
  overflow-wrap:anywhere; }
.several tbody td { width:66%; }
.grades { margin:10px 0 0; } .grades dt { color:var(--c); font-weight:700; margin-top:8px; }
.grades dd { margin:0; font-size:.92rem; } .card h3 i { display:inline-block; width:14px;
  height:12px; border-radius:2px; margin-right:8px; }
details { margin-top:10px; } summary { cursor:pointer; color:var(--accent); font-size:.88rem; }
.curve { max-width:480px; } .plane { max-width:760px; } .scroll:has(.facts) { max-width:900px; }
.facts td, .facts th { text-align:left; } .facts td { overflow-wrap:anywhere; }
@media (max-width:560px) { main { padding:20px 14px 40px; } h1 { font-size:1.4rem; }
  .columns th[scope=rowgroup] { min-width:6em; max-width:8em; }
  .alarm { font-size:1.1rem; padding:16px; } .alarm strong { font-size:1.35rem; } }
@media print { body { background:#fff; } .card, .scroll { break-inside:avoid; } }
""" + "".join(
    f"i.t{place} {{ background:var(--t{place}); }} "
    f"svg .line.t{place}, svg .outline.t{place} {{ stroke:var(--t{place}); }}\n"
    for place in range(TABLES)
)
