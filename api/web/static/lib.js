// What all pages share: the API, the address bar, and how values are shown.
import { html, useEffect, useRef, useState } from '/vendor/htm-preact-3.1.1.mjs';

export { html, useEffect, useRef, useState };

const tokenKey = 'ribtap-token';
export const token = () => sessionStorage.getItem(tokenKey) || '';
export const setToken = (t) => sessionStorage.setItem(tokenKey, t);

export class ApiError extends Error {
  constructor(status, text) { super(text.trim() || `the collector answered ${status}`); this.status = status; }
}

/** Leaves out what is empty. */
export function query(params) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== '' && v !== undefined && v !== null && v !== false) q.set(k, v);
  const s = q.toString();
  return s ? '?' + s : '';
}

export async function request(path, signal) {
  const headers = token() ? { Authorization: 'Bearer ' + token() } : {};
  const r = await fetch(path, { headers, signal });
  if (!r.ok) throw new ApiError(r.status, await r.text());
  return r;
}

/** Asks the API for a path, again every so many milliseconds if every is given. */
export function useApi(path, every) {
  const [answer, set] = useState({ loading: true });
  useEffect(() => {
    if (!path) { set({}); return undefined; }
    const abort = new AbortController();
    let timer;
    const ask = async () => {
      try {
        const r = await request(path, abort.signal);
        const data = await r.json();
        set({ data, path });
      } catch (error) {
        if (abort.signal.aborted) return;
        set((old) => ({ data: old.path === path ? old.data : undefined, path, error }));
      }
      if (every && !abort.signal.aborted) timer = setTimeout(ask, every);
    };
    set((old) => ({ ...old, loading: old.path !== path }));
    ask();
    return () => { abort.abort(); clearTimeout(timer); };
  }, [path, every]);
  return answer;
}

/** The parameters of the address bar; set changes some of them. */
export function useParams() {
  const [, again] = useState(0);
  useEffect(() => {
    const f = () => again((n) => n + 1);
    addEventListener('popstate', f);
    return () => removeEventListener('popstate', f);
  }, []);
  const params = Object.fromEntries(new URLSearchParams(location.search));
  const set = (change, replace) => go(location.pathname + query({ ...params, ...change }), replace);
  return [params, set];
}

export function go(url, replace) {
  if (replace) history.replaceState(null, '', url); else history.pushState(null, '', url);
  dispatchEvent(new PopStateEvent('popstate'));
}

export const time = (t) => (t ? t.replace('T', ' ').replace(/(\.\d+)?Z$/, '') : '–');
export const timeMs = (t) => (t ? t.replace('T', ' ').replace(/\.(\d{3})\d*Z$/, '.$1').replace('Z', '') : '–');
export const iso = (ms) => new Date(ms).toISOString();
export const count = (n) => (n === null || n === undefined ? '–' : Number(n).toLocaleString('en-US', { maximumFractionDigits: 1 }));
export const octets = (n) => { const u = ['B', 'KiB', 'MiB', 'GiB', 'TiB']; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${n.toFixed(i ? 1 : 0)} ${u[i]}`; };
export function ago(t) {
  if (!t) return '';
  let s = Math.max(0, (Date.now() - Date.parse(t)) / 1000);
  for (const [unit, n] of [['d', 86400], ['h', 3600], ['min', 60]]) if (s >= n) return `${Math.floor(s / n)} ${unit}`;
  return `${Math.floor(s)} s`;
}
/** Local time, for whoever hovers. */
export const Time = ({ at, ms }) => html`<time datetime=${at} title=${at ? new Date(at).toLocaleString() : ''}>${ms ? timeMs(at) : time(at)}</time>`;

export const prefixURL = (prefix, more) => '/prefix' + query({ prefix, ...more });
export const Prefix = ({ of }) => html`<a class="mono" href=${prefixURL(of)}>${of}</a>`;
export const AS = ({ n }) => (n ? html`<a href=${'/as?asn=' + n}>${n}</a>` : '–');
export const Path = ({ path, old }) => {
  if (!path) return html`<span class="dim">–</span>`;
  const before = old === undefined ? null : new Set((old || '').split(' '));
  return path.split(' ').map((n, i) => html`${i ? ' ' : ''}<span class=${before && !before.has(n) ? 'changed' : ''}>${/^\d+$/.test(n) ? html`<${AS} n=${n} />` : n}</span>`);
};
export const State = ({ of }) => html`<span class=${'state ' + of}>${of}</span>`;

export function Failure({ error, retry }) {
  if (!error) return null;
  if (error.status === 401) return html`<${Login} />`;
  return html`<p class="error" role="alert">${error.message}${retry}</p>`;
}

function Login() {
  const submit = (e) => { e.preventDefault(); setToken(e.target.token.value.trim()); location.reload(); };
  return html`<form onSubmit=${submit}><label class="wide">This collector wants its token (http.token_file)
    <input name="token" type="password" autocomplete="current-password" autofocus /></label><button class="plain">Go on</button></form>`;
}

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong> ${children}</div>`;

/** The command that says the same. */
export function Copy({ command, url }) {
  const [done, set] = useState('');
  const copy = (what, text) => navigator.clipboard?.writeText(text).then(() => set(what), () => set(''));
  return html`<p class="row dim"><code>${command}</code>
    <button class="plain" onClick=${() => copy('command', command)}>copy</button>
    ${url && html`<button class="plain" onClick=${() => copy('curl', `curl -s '${location.origin}${url}'`)}>copy as curl</button>`}
    <span role="status">${done && done + ' copied'}</span></p>`;
}

/** A link to a file of the API; a token goes in a header, which a plain link cannot send. */
export function Download({ url, name, children }) {
  const [error, set] = useState(null);
  const save = async (e) => {
    if (!token()) return;
    e.preventDefault();
    try {
      const blob = await (await request(url)).blob();
      const a = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 1000);
      set(null);
    } catch (failure) { set(failure); }
  };
  return html`<a href=${url} download=${name} onClick=${save}>${children}</a>${error && html` <span class="down">${error.message}</span>`}`;
}

/** A table whose heads sort it; columns are {head, of, show, num, long}. */
export function Table({ rows, columns, more, empty, rowClass, onRow }) {
  const [sort, setSort] = useState(null);
  if (rows.length === 0) return empty || html`<p class="dim">None.</p>`;
  let list = rows;
  if (sort) {
    const { of } = columns[sort.i];
    list = [...rows].sort((a, b) => { const x = of(a) ?? '', y = of(b) ?? ''; return sort.dir * (typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y), 'en', { numeric: true })); });
  }
  const by = (i) => setSort((s) => (s && s.i === i ? (s.dir === 1 ? { i, dir: -1 } : null) : { i, dir: 1 }));
  return html`<div class="scroll"><table>
    <thead><tr>${columns.map((c, i) => html`<th class=${c.num ? 'num' : ''} aria-sort=${sort?.i === i ? (sort.dir > 0 ? 'ascending' : 'descending') : 'none'}>
      <button onClick=${() => by(i)}>${c.head}${sort?.i === i ? (sort.dir > 0 ? ' ▲' : ' ▼') : ''}</button></th>`)}</tr></thead>
    <tbody>${list.map((r) => html`<tr class=${rowClass ? rowClass(r) : ''} tabindex=${onRow ? 0 : undefined} onClick=${onRow && (() => onRow(r))} onKeyDown=${onRow && ((e) => e.key === 'Enter' && onRow(r))}>
      ${columns.map((c) => html`<td class=${(c.num ? 'num ' : '') + (c.long ? 'long ' : '') + (c.mono ? 'mono' : '')}>${c.show ? c.show(r) : c.num ? count(c.of(r)) : c.of(r) ?? '–'}</td>`)}</tr>`)}</tbody>
  </table></div>${more && html`<p class="dim">Showing the first ${count(rows.length)} rows; there are more. Narrow the question, or take all of it as CSV or lines below.</p>`}`;
}

/** A time on an axis, as fine as the span needs. */
const clock = (t, span) => iso(t * 1000).slice(...(span < 900 ? [11, 19] : span < 2 * 86400 ? [11, 16] : [5, 16])).replace('T', ' ');

/** A plot over time; series are {label, values, stroke}. */
export function Plot({ at, series, height = 130 }) {
  const box = useRef(null);
  useEffect(() => {
    if (!box.current || at.length < 2) return undefined;
    const css = getComputedStyle(document.documentElement);
    const dim = css.getPropertyValue('--dim'), line = css.getPropertyValue('--line');
    const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    const u = new uPlot({
      width: box.current.clientWidth, height, cursor: { points: { size: 6 } }, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), 'Etc/UTC'),
      axes: [{ ...axis, space: 90, values: (_, v) => v.map((t) => clock(t, at.at(-1) - at[0])) }, { ...axis, size: 60, values: (_, v) => v.map(count) }],
      series: [{ label: 'UTC', value: (_, t) => (t ? time(iso(t * 1000)) : '–') }, ...series.map((s) => ({ label: s.label, stroke: css.getPropertyValue(s.stroke), width: 1.5, value: (_, v) => count(v) }))],
    }, [at, ...series.map((s) => s.values)], box.current);
    const fit = () => box.current && u.setSize({ width: box.current.clientWidth, height });
    addEventListener('resize', fit);
    return () => { removeEventListener('resize', fit); u.destroy(); };
  }, [at, ...series.map((s) => s.values)]);
  return at.length < 2 ? html`<p class="dim">A plot begins with the second sample, some seconds after the start.</p>` : html`<div class="plot" ref=${box}></div>`;
}

/** Names of the filters of routes and changes, as the commands have them. */
export const filterNames = ['prefix', 'match', 'router', 'peer', 'asn', 'origin-as', 'rib', 'family', 'community', 'as-path'];
export const picked = (params, names = filterNames) => Object.fromEntries(names.filter((n) => params[n]).map((n) => [n, params[n]]));
export const flags = (params, names) => Object.entries(picked(params, names)).filter(([k]) => k !== 'prefix').map(([k, v]) => ` --${k} ${/[^\w.:/-]/.test(v) ? `'${v}'` : v}`).join('');

/** A form of parameters that goes into the address bar. */
export function Fields({ fields, params, onSubmit, children }) {
  const submit = (e) => {
    e.preventDefault();
    const f = new FormData(e.target);
    onSubmit(Object.fromEntries(fields.map(([name]) => [name, (f.get(name) || '').trim()])));
  };
  return html`<form onSubmit=${submit} role="search">${fields.map(([name, label, options]) => html`<label class=${options === 'wide' ? 'wide' : ''}>${label}
    ${Array.isArray(options) ? html`<select name=${name} value=${params[name] || ''}>${options.map((o) => html`<option value=${o}>${o || 'any'}</option>`)}</select>`
    : html`<input name=${name} value=${params[name] || ''} spellcheck="false" autocomplete="off" />`}</label>`)}<button class="plain">Show</button>${children}</form>`;
}
export const ribs = ['', 'adj-rib-in-pre', 'adj-rib-in-post', 'loc-rib', 'adj-rib-out-pre', 'adj-rib-out-post'];
