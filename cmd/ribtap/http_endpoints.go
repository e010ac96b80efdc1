package main

import (
	"context"
	"iter"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ribtap/ribtap/sinks/sqlite"
)

// endpoint is one path of the HTTP port; openapi.json is made of them.
type endpoint struct {
	method, path, what string
	handler            http.Handler
	params             []string
	rows               any // what a row of the answer is like; nil: not rows
}

// scope is that of the token that the endpoint wants.
func (e *endpoint) scope() scope {
	if e.method == "GET" {
		return scopeRead
	}
	return scopeControl
}

// rowsMethod is one of the Reader's lists.
type rowsMethod[T any] func(*sqlite.Reader, context.Context, sqlite.Query) iter.Seq2[T, error]

// listOf is the endpoint of a list.
func listOf[T any](h *historyServer, path, what string, rows rowsMethod[T], params ...[]string) endpoint {
	var row T
	all := append(slices.Concat(params...), paramsAnswer...)
	return endpoint{"GET", path, what, listing(h, rows, all), all, row}
}

// endpoints are all paths that want the token.
func (s *server) endpoints() []endpoint {
	short := func(h http.HandlerFunc) http.Handler {
		return http.TimeoutHandler(h, httpAnswerTimeout, "timed out\n")
	}
	filters := append(filterParams(), "prefix")
	sessions := []string{"router", "peer", "asn", "rib"}
	stream := append(slices.Clone(filters), "from", "raw")
	h := s.history
	return []endpoint{
		{"GET", "/metrics", "metrics in Prometheus's form", short(promhttp.HandlerFor(s.node.reg, promhttp.HandlerOpts{}).ServeHTTP), nil, nil},
		{"GET", "/v1/openapi.json", "this description", short(s.openAPI), nil, nil},
		{"GET", "/v1/status", "the collector's own truth: sequence, sinks and their lag, gaps", short(s.status), nil, nil},
		{"GET", "/v1/activity", "events a second, routes, peers and lag over the last day, since the start at most", short(s.pulse.activity), []string{"last"}, beat{}},
		{"GET", "/v1/config", "every key with its value and origin, secrets masked", short(s.config), nil, nil},
		listOf(h, "/v1/routes", "routes now, or at a time", (*sqlite.Reader).Routes, filters, []string{"at"}),
		listOf(h, "/v1/history", "changes, in order", (*sqlite.Reader).History, filters, paramsTimes),
		{"GET", "/v1/diff", "what differs between two times, RIBs, peers or routers", h.ask(h.diff), slices.Concat(filters, paramsDiff), diffRow{}},
		listOf(h, "/v1/sessions", "peers of all routers and their state", (*sqlite.Reader).Peers, sessions),
		listOf(h, "/v1/session-history", "ups and downs of peers", (*sqlite.Reader).PeerHistory, sessions, paramsTimes),
		listOf(h, "/v1/routers", "routers and their state", (*sqlite.Reader).Routers, sessions),
		listOf(h, "/v1/router-history", "ups and downs of routers", (*sqlite.Reader).RouterHistory, sessions, paramsTimes),
		listOf(h, "/v1/stats", "each peer's last statistics report", (*sqlite.Reader).LastPeerStats, sessions, paramsTimes),
		listOf(h, "/v1/stats-history", "statistics reports", (*sqlite.Reader).PeerStats, sessions, paramsTimes),
		listOf(h, "/v1/gaps", "every known hole", (*sqlite.Reader).Gaps, sessions, paramsTimes),
		listOf(h, "/v1/anomalies", "messages in which something is wrong, as they came", (*sqlite.Reader).Anomalies, sessions, paramsTimes),
		listOf(h, "/v1/imports", "files that were imported", (*sqlite.Reader).Imports, sessions, paramsTimes),
		{"GET", "/v1/tail", "events as they come, a line of JSON each", http.HandlerFunc(s.tail), stream, nil},
		{"GET", "/v1/events", "events as they come, as server-sent events", http.HandlerFunc(s.events), stream, nil},
		{"GET", "/v1/rpki", "the caches of rpki.rtr and how many VRPs they gave", short(s.rpkiStatus), nil, nil},
		{"GET", "/v1/validity", "whether an AS may originate a prefix, by what the caches say now", short(s.validity), []string{"prefix", "asn"}, nil},
		{"GET", "/v1/ws/", "RIS Live's protocol on a WebSocket", http.HandlerFunc(s.risWebSocket), nil, nil},
		{"GET", "/v1/stream/", "RIS Live's messages as lines; the header X-RIS-Subscribe has the subscription", http.HandlerFunc(s.risStream), []string{"format", "client"}, nil},
		{"GET", "/v1/peers", "the speaker's own neighbours", short(s.peers), nil, nil},
		{"POST", "/v1/peers/{name}/{action}", "enable, disable, reset or refresh a neighbour", short(s.orderPeer), nil, nil},
		{"GET", "/v1/announcements", "what the speaker announces", short(s.announcements), nil, nil},
		{"POST", "/v1/announce", "announce routes", short(s.orderRoutes("announce", (*bgpNode).announce)), nil, nil},
		{"POST", "/v1/withdraw", "take routes back", short(s.orderRoutes("withdraw", (*bgpNode).withdraw)), nil, nil},
		{"POST", "/v1/config/apply", "bring a configuration into force", http.HandlerFunc(s.applyConfig), nil, nil},
		{"POST", "/v1/config/rollback/{number}", "bring an earlier configuration into force", http.HandlerFunc(s.rollbackConfig), nil, nil},
		{"POST", "/v1/import", "import a file", http.HandlerFunc(s.importFile), nil, nil},
	}
}

// config is GET /v1/config.
func (s *server) config(w http.ResponseWriter, _ *http.Request) {
	answer(w, struct {
		Keys []shownKey `json:"keys"`
	}{s.node.s.shown()}, nil)
}

// openAPI describes the endpoints (OpenAPI 3.1).
func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	type object = map[string]any
	errors := object{"description": "one line of text that says what is wrong", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}
	paths := object{}
	for _, e := range s.endpoints() {
		params := []object{}
		for _, name := range e.params {
			params = append(params, object{"name": name, "in": "query", "schema": object{"type": "string"}, "description": paramHelp(name)})
		}
		for part := range strings.SplitSeq(e.path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				params = append(params, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
			}
		}
		ok := object{"description": e.what}
		if e.rows != nil {
			ok["content"] = object{"application/json": object{"schema": object{"type": "object", "properties": object{
				"rows": object{"type": "array", "items": schemaOf(reflect.TypeOf(e.rows))},
				"more": object{"type": "boolean", "description": "there are more rows than the limit"},
			}}}}
		}
		p, _ := paths[e.path].(object)
		if p == nil {
			p = object{}
			paths[e.path] = p
		}
		p[strings.ToLower(e.method)] = object{"summary": e.what, "parameters": params, "responses": object{"200": ok, "default": errors}}
	}
	answer(w, object{
		"openapi": "3.1.0", "info": object{"title": "ribtap", "version": thisVersion().Version},
		"components": object{"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
		"security":   []object{{"token": []string{}}}, "paths": paths,
	}, nil)
}

// paramHelp is what a parameter means.
func paramHelp(name string) string {
	for _, f := range filterNames {
		if f.name == name {
			return f.help
		}
	}
	return map[string]string{
		"prefix":    "a prefix, an address (its longest match) or the text of another NLRI",
		"at":        "the time of the routes: RFC 3339, a date, or -1h for an hour ago",
		"from":      "not before this time; of a stream, the first sequence",
		"to":        "not after this time",
		"newest":    "true: newest first",
		"limit":     "at most so many rows; of JSON 1,000 unless given and 10,000 at most, of lines and CSV all",
		"format":    "json, ndjson or csv",
		"last":      "how long back, such as 1h",
		"raw":       "true: with the octets as they arrived, base64",
		"to-at":     "time of the second side",
		"to-rib":    "RIB of the second side",
		"to-peer":   "peer of the second side",
		"to-router": "router of the second side",
	}[name]
}
