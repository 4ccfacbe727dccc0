"""How the page looks: one small sheet, light and dark, wide and narrow, and on paper."""

CSS = """
:root{--ink:#1f2328;--paper:#fff;--soft:#5a636d;--accent:#c24e00;--against:#2166ac;--good:#1a7f37;
--bad:#b3261e;--line:#d0d7de;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--paper:#14171a;--soft:#a3adb8;--accent:#ff9447;
--against:#6fb0f0;--good:#4cc46a;--bad:#ff8a80;--line:#3a424b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:58rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:2.1rem;line-height:1.15;margin:.1rem 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:2.6rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1.08rem;margin:1.4rem 0 .3rem}h4{font-size:1rem;margin:1.3rem 0 .3rem}
p{margin:.5rem 0;max-width:44rem}
.over,.note,figcaption,caption{color:var(--soft);font-size:.9rem}.over{margin:0}
.file{color:var(--soft);font-size:.85rem;overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}
.for{color:var(--accent);font-weight:600}.against{color:var(--against);font-weight:600}
figure{margin:0}figcaption{margin:.35rem 0 .8rem}
img{display:block;max-width:100%;height:auto;border-radius:4px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:11.5px}
.grid{stroke:var(--line);fill:none}
.two{display:grid;grid-template-columns:minmax(12rem,17rem) 1fr;gap:1.5rem;margin-top:1.2rem}
.two img,.figures img{width:100%}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(15.5rem,1fr));gap:1.2rem;margin:1rem 0}
.near{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:1rem;margin:1rem 0}
.absent{border:1px dashed var(--line);
border-radius:4px;padding:2rem .5rem;text-align:center;color:var(--soft)}
table{border-collapse:collapse;margin:.8rem 0;width:100%;max-width:40rem}
caption{text-align:left;padding-bottom:.2rem}
th,td{padding:.22rem .6rem .22rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:middle}
th[scope=row]{font-weight:500;overflow-wrap:anywhere}th[scope=col]{font-size:.85rem;color:var(--soft)}
td.n,th[scope=col]{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
.sum th,.sum td{font-weight:700}
.bar{height:.75rem;min-width:6rem}.scroll{overflow-x:auto}
footer{color:var(--soft);font-size:.9rem}footer h2{color:var(--ink)}
@media(max-width:36rem){.two{grid-template-columns:1fr}h1{font-size:1.7rem}}
@media print{section{break-inside:avoid}}
"""
