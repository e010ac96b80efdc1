// The frame around the pages: which one the address names, search and keys.
import { render } from '/vendor/htm-preact-3.1.1.mjs';
import { go, html, prefixURL, query, useEffect, useParams, useRef } from '/lib.js';
import { Overview } from '/page-overview.js';
import { Sessions } from '/page-sessions.js';
import { PrefixPage } from '/page-prefix.js';
import { ASPage } from '/page-as.js';
import { Changes } from '/page-changes.js';
import { Diff } from '/page-diff.js';
import { Data } from '/page-data.js';

const pages = [
  ['/', 'Overview', Overview], ['/sessions', 'Sessions', Sessions], ['/prefix', 'Prefix', PrefixPage], ['/as', 'AS', ASPage],
  ['/changes', 'Changes', Changes], ['/diff', 'Diff', Diff], ['/data', 'Data', Data],
];

/** Where a search leads: an AS number, or a prefix, address or other NLRI. */
function find(text) {
  const asn = /^as\s*(\d+)$/i.exec(text);
  return asn ? '/as' + query({ asn: asn[1] }) : prefixURL(text);
}

function App() {
  const [params, set] = useParams();
  const search = useRef(null);
  useEffect(() => {
    const key = (e) => {
      if (e.target.closest('input, select, textarea') || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === '/') { e.preventDefault(); search.current.focus(); }
      const n = Number(e.key);
      if (n >= 1 && n <= pages.length) go(pages[n - 1][0]);
    };
    const click = (e) => {
      const a = e.target.closest('a[href^="/"]');
      if (!a || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0 || !pages.some(([p]) => p === new URL(a.href).pathname)) return;
      e.preventDefault();
      go(a.getAttribute('href'));
      scrollTo(0, 0);
    };
    addEventListener('keydown', key);
    addEventListener('click', click);
    return () => { removeEventListener('keydown', key); removeEventListener('click', click); };
  }, []);
  const [path, title, Page] = pages.find(([p]) => p === location.pathname) || pages[0];
  useEffect(() => { document.title = `${params.prefix || params.asn || title} – ribtap`; });
  const submit = (e) => { e.preventDefault(); const q = e.target.q.value.trim().replace(/^\/+/, ''); if (q) go(find(q)); };
  return html`<header><strong>ribtap</strong>
    <nav>${pages.map(([p, t], i) => html`<a href=${p} title=${'key ' + (i + 1)} aria-current=${p === path ? 'page' : undefined}>${t}</a>`)}</nav>
    <form onSubmit=${submit} role="search" style=${{ margin: 0 }}><input ref=${search} name="q" aria-label="Search" placeholder="prefix, address, AS64500   ( / )" size="28" spellcheck="false" autocomplete="off" /></form></header>
    <main key=${path}><${Page} params=${params} set=${set} /></main>`;
}

render(html`<${App} />`, document.body);
