package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/api/web"
)

// Bounds of the HTTP server. Streams extend their own deadlines.
const (
	httpHeaderTimeout = 10 * time.Second
	httpAnswerTimeout = 30 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpMaxHeader     = 64 << 10
)

// server is the daemon's HTTP side.
type server struct {
	node   *node
	live   *liveConfig
	tokens []token // none: no token is wanted
	log    *slog.Logger
	start  time.Time
	// ready reports whether sessions are accepted.
	ready <-chan struct{}
	// stopping is closed when the daemon goes down: streams end.
	stopping <-chan struct{}
	// imports is set by newServer.
	imports *importer
	tails   *tails
	hub     *hub
	history *historyServer
	pulse   *pulse
	// validator is nil without caches.
	validator *validator
}

// handler joins the routes. Everything but the health checks and the pages' files
// wants the token, if there is one.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	for _, e := range s.endpoints() {
		mux.Handle(e.method+" "+e.path, s.authorize(e.scope(), e.handler))
	}
	mux.Handle("/", web.Handler())
	path, service := s.newAPI().Handler()
	mux.Handle(path, s.authorize(scopeRead, service))
	// A page in a browser on this machine may not post here.
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// An answer is what it says it is, and no page.
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	}))
}

// authorize lets a request pass that carries a token of the scope. Without tokens the
// server is on loopback only, and the request must name it by address: a name
// could be a foreign page's that was made to point here.
func (s *server) authorize(want scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(s.tokens) == 0 {
			if !localHost(r.Host) {
				http.Error(w, "without a token the collector is only reached by IP address or as localhost", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		got, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch has := allows(s.tokens, got); {
		case has == scopeNone:
			w.Header().Set("WWW-Authenticate", `Bearer realm="ribtap"`)
			http.Error(w, "the request carries no valid token", http.StatusUnauthorized)
		case has < want:
			http.Error(w, "this token may only read; orders need one of control", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	_, err = netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

// healthz: the process runs.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz: it takes sessions and its stream takes events.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.stopping:
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	case <-s.ready:
	default:
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	if err := s.node.stream.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	st := s.node.status()
	st.UptimeSeconds = int64(time.Since(s.start).Seconds())
	w.Header().Set("Content-Type", "application/json")
	_ = encoder(w).Encode(st) // a client that has gone
}

// serve listens, calls listening with the address, and serves until ctx ends;
// then it waits a moment for answers under way.
func serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: httpHeaderTimeout, IdleTimeout: httpIdleTimeout, MaxHeaderBytes: httpMaxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true) // gRPC
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // it was asked politely
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

// framing is how values stand in a stream: as lines, or as server-sent events.
type framing struct{ sse bool }

// append appends an event's JSON, with its sequence as the id of a server-sent event.
func (f framing) append(b []byte, sequence uint64, json []byte) []byte {
	if f.sse {
		b = append(b, "id: "...)
		b = strconv.AppendUint(b, sequence, 10)
		b = append(b, "\ndata: "...)
	}
	return f.end(append(b, json...))
}

// error appends the value that ends a stream.
func (f framing) error(b, json []byte) []byte {
	if f.sse {
		b = append(b, "event: error\ndata: "...)
	}
	return f.end(append(b, json...))
}

func (f framing) end(b []byte) []byte {
	if f.sse {
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// lineWriter writes a stream to a client and gives each part a deadline.
type lineWriter struct {
	framing
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newLineWriter(w http.ResponseWriter, f framing) *lineWriter {
	contentType := "application/x-ndjson"
	if f.sse {
		contentType = "text/event-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	return &lineWriter{f, w, http.NewResponseController(w)}
}

// write sends b, whole lines, within d.
func (l *lineWriter) write(b []byte, d time.Duration) error {
	if err := l.rc.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	return l.rc.Flush()
}

// value sends v as one line.
func (l *lineWriter) value(v any, d time.Duration) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.write(append(b, '\n'), d)
}

// last sends why the stream ends.
func (l *lineWriter) last(reason string) {
	b, err := json.Marshal(streamError{reason})
	if err == nil {
		_ = l.write(l.error(nil, b), time.Second) // the client may have gone
	}
}

// streamError is the last line of a stream that the daemon ends.
type streamError struct {
	Error string `json:"error"`
}

// tails are the followers of /v1/tail.
type tails struct {
	limits tailLimits
	count  atomic.Int64
	cut    prometheus.Counter
}

func newTails(reg prometheus.Registerer) *tails {
	t := &tails{
		limits: defaultTailLimits,
		cut:    prometheus.NewCounter(prometheus.CounterOpts{Name: "ribtap_tail_cut_total", Help: "Clients of the event stream that were cut because they were too slow."}),
	}
	reg.MustRegister(t.cut, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "ribtap_tail_clients", Help: "Clients that follow the event stream now."},
		func() float64 { return float64(t.count.Load()) }))
	return t
}
