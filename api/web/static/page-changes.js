import { AS, Copy, count, Download, Empty, Failure, Fields, flags, html, Path, picked, Prefix, query, request, ribs, Table, Time, useApi, useEffect, useRef, useState } from '/lib.js';
import { ChangeTable } from '/page-prefix.js';

const fields = [
  ['prefix', 'Prefix'], ['match', 'Match', ['', 'exact', 'longer', 'shorter']], ['router', 'Router'], ['peer', 'Peer'], ['origin-as', 'Origin AS'], ['rib', 'RIB', ribs],
  ['family', 'Family'], ['community', 'Community'], ['as-path', 'AS path (regular expression, _ between)'], ['from', 'From'], ['to', 'To'],
];
const kept = 500;

export function Changes({ params, set }) {
  const past = params.from || params.to;
  const filters = picked(params);
  const path = '/v1/history' + query({ ...filters, from: params.from, to: params.to, newest: true });
  const file = (format) => '/v1/history' + query({ ...filters, from: params.from || '-1h', to: params.to, format });
  return html`<h1>Changes</h1>
    <${Fields} fields=${fields} params=${params} onSubmit=${(v) => set(v)}>${past && html`<a href=${'/changes' + query(filters)}>live</a>`}</${Fields}>
    ${past ? html`<${Past} path=${path} />` : html`<${Live} key=${query(filters)} filters=${filters} />`}
    <${Copy} command=${past ? `ribtap history ${params.prefix || ''}${flags(params)}${params.from ? ' --from ' + params.from : ''}${params.to ? ' --to ' + params.to : ''}` : `ribtap tail ${params.prefix || ''}${flags(params)}`} url=${past ? path : '/v1/tail' + query(filters)} />
    <p>All of this as <${Download} url=${file('csv')} name="ribtap.csv">CSV</${Download}>, <${Download} url=${file('ndjson')} name="ribtap.ndjson">lines of JSON</${Download}>${past ? '' : ' (the last hour)'}.</p>`;
}

function Past({ path }) {
  const list = useApi(path);
  return html`<${Failure} error=${list.error} />${list.data && html`<${ChangeTable} rows=${list.data.rows} more=${list.data.more} />`}`;
}

/** Routes of an event, one row each, as the page shows them. */
export function rowsOf(e) {
  const base = { sequence: e.sequence, received_at: e.received_at, router: e.router?.name, peer_address: e.peer?.address, peer_asn: e.peer?.asn, rib: e.rib };
  if (e.kind !== 'route') return [{ ...base, what: e.kind, detail: e.reason_text || e.notification?.text || e.cause || e.text || '' }];
  if (e.end_of_rib) return [{ ...base, what: 'End-of-RIB', detail: e.end_of_rib }];
  return (e.routes || []).map((r) => ({ ...base, prefix: r.prefix, action: r.action, cause: r.cause || e.cause, as_path: r.action === 'announce' ? e.attributes?.as_path : undefined, next_hop: r.next_hop }));
}

function Live({ filters }) {
  const [rows, setRows] = useState([]);
  const [error, setError] = useState(null);
  const [paused, setPaused] = useState(false);
  const [seen, setSeen] = useState(0);
  const pause = useRef(false);
  pause.current = paused;
  useEffect(() => {
    const abort = new AbortController();
    let waiting = [], total = 0;
    const show = setInterval(() => {
      if (pause.current || waiting.length === 0) return;
      const fresh = waiting.reverse();
      waiting = [];
      setSeen(total);
      setRows((old) => [...fresh, ...old].slice(0, kept));
    }, 250);
    (async () => {
      try {
        const r = await request('/v1/tail' + query(filters), abort.signal);
        const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ''; ;) {
          const { value, done } = await reader.read();
          if (done) throw new Error('The stream has ended: the collector stopped, or this page was too slow.');
          const lines = (rest + value).split('\n');
          rest = lines.pop();
          for (const l of lines) {
            if (!l) continue;
            const e = JSON.parse(l);
            if (e.error) throw new Error(e.error);
            total++;
            waiting.push(...rowsOf(e));
          }
          if (waiting.length > kept) waiting = waiting.slice(-kept);
        }
      } catch (e) { if (!abort.signal.aborted) setError(e); }
    })();
    return () => { abort.abort(); clearInterval(show); };
  }, []);
  return html`<p class="row"><button class="plain" id="pause" onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button>
      <span class="dim" role="status">${error ? '' : paused ? 'paused' : 'live'}; ${count(seen)} events, the last ${count(rows.length)} rows</span></p>
    <${Failure} error=${error} />
    <${Table} rows=${rows} empty=${html`<${Empty} title="Waiting for what comes next.">What was before: <a href=${'/changes' + query({ ...filters, from: '-1h' })}>the last hour</a>.</${Empty}>`} columns=${[
      { head: 'Received', of: (r) => r.sequence, show: (r) => html`<${Time} at=${r.received_at} ms />` },
      { head: 'What', of: (r) => r.action || r.what, show: (r) => html`<span class=${r.action === 'withdraw' ? 'down' : r.action ? 'up' : ''}>${r.action || r.what}</span>` },
      { head: 'Prefix', of: (r) => r.prefix, show: (r) => (r.prefix ? html`<${Prefix} of=${r.prefix} />` : '–') },
      { head: 'Router', of: (r) => r.router }, { head: 'Peer', of: (r) => r.peer_address, mono: true },
      { head: 'AS', of: (r) => r.peer_asn, show: (r) => html`<${AS} n=${r.peer_asn} />` }, { head: 'RIB', of: (r) => r.rib },
      { head: 'AS path', of: (r) => r.as_path, long: true, show: (r) => (r.as_path ? html`<${Path} path=${r.as_path} />` : r.detail || r.cause || '–') },
      { head: 'Next hop', of: (r) => r.next_hop, mono: true },
    ]} />`;
}
