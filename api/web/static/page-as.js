import { AS, Copy, count, Empty, Failure, Fields, html, picked, Prefix, query, ribs, Table, useApi } from '/lib.js';
import { ChangeTable, routeColumns } from '/page-prefix.js';

const fields = [['asn', 'AS number'], ['router', 'Router'], ['peer', 'Peer'], ['rib', 'RIB', ribs], ['at', 'At'], ['from', 'Changes from']];

export function ASPage({ params, set }) {
  const asn = params.asn?.replace(/^as/i, '');
  const filters = { ...picked(params, ['router', 'peer', 'rib']), 'origin-as': asn };
  const path = asn && '/v1/routes' + query({ ...filters, at: params.at, limit: 5000 });
  const routes = useApi(path);
  const from = params.from || '-24h';
  const changes = useApi(asn && '/v1/history' + query({ ...filters, from, newest: true, limit: 200 }));
  const rows = routes.data?.rows || [];
  return html`<h1>AS ${asn || ''}</h1>
    <${Fields} fields=${fields} params=${params} onSubmit=${(v) => set(v)} />
    ${!asn && html`<${Empty} title="Which AS?">What it originates, and by whom that reaches us.</${Empty}>`}
    <${Failure} error=${routes.error} />
    ${asn && routes.loading && html`<p class="dim">All routes are searched …</p>`}
    ${asn && routes.data && html`<${Summary} rows=${rows} asn=${asn} />
      <h2>Prefixes that it originates ${params.at ? 'at ' + params.at : 'now'}</h2>
      <${Prefixes} rows=${rows} more=${routes.data.more} />
      <${Copy} command=${`ribtap routes --origin-as ${asn}${params.at ? ' --at ' + params.at : ''}`} url=${path} />
      <h2>Routes</h2><${Table} rows=${rows.slice(0, 500)} more=${rows.length > 500} columns=${routeColumns} />
      <h2>Changes since ${from}</h2><${Failure} error=${changes.error} />
      ${changes.data && html`<${ChangeTable} rows=${changes.data.rows} more=${changes.data.more} />`}`}`;
}

function Summary({ rows, asn }) {
  const up = new Map();
  for (const r of rows) {
    const path = (r.as_path || '').split(' ').filter((n, i, all) => n !== all[i - 1]);
    const before = path.length > 1 && path.at(-1) === asn ? path.at(-2) : 'the peer itself';
    up.set(before, (up.get(before) || 0) + 1);
  }
  const prefixes = new Set(rows.map((r) => r.prefix));
  return html`<div class="tiles"><div class="tile">Prefixes<b>${count(prefixes.size)}</b></div><div class="tile">Routes<b>${count(rows.length)}</b></div>
    <div class="tile">Peers that see it<b>${count(new Set(rows.map((r) => r.router + r.peer_address)).size)}</b></div></div>
    <p class="row">Reached by ${[...up].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([n, k]) => html`<span class="tag">${/^\d+$/.test(n) ? html`AS <${AS} n=${n} />` : n} ${count(k)}</span>`)}</p>`;
}

function Prefixes({ rows, more }) {
  const by = new Map();
  for (const r of rows) by.set(r.prefix, (by.get(r.prefix) || 0) + 1);
  return html`<${Table} rows=${[...by].map(([prefix, n]) => ({ prefix, n }))} more=${more} empty=${html`<${Empty} title="It originates nothing that we hear of.">It may have before: choose a time above.</${Empty}>`} columns=${[
    { head: 'Prefix', of: (r) => r.prefix, show: (r) => html`<${Prefix} of=${r.prefix} />` }, { head: 'Routes', of: (r) => r.n, num: true },
  ]} />`;
}
