package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	node  *node
	live  *liveConfig
	token string
	log   *slog.Logger
	start time.Time
	// ready reports whether sessions are accepted.
	ready <-chan struct{}
	// stopping is closed when the daemon goes down: streams end.
	stopping <-chan struct{}
	// imports is set by newServer.
	imports *importer
	tails   *tails
}

// handler joins the routes. Everything but the health checks wants the token,
// if there is one.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	short := func(h http.HandlerFunc) http.Handler {
		return s.authorize(http.TimeoutHandler(h, httpAnswerTimeout, "timed out\n"))
	}
	mux.Handle("GET /healthz", http.HandlerFunc(s.healthz))
	mux.Handle("GET /readyz", http.HandlerFunc(s.readyz))
	mux.Handle("GET /metrics", short(promhttp.HandlerFor(s.node.reg, promhttp.HandlerOpts{}).ServeHTTP))
	mux.Handle("GET /v1/status", short(s.status))
	mux.Handle("GET /v1/peers", short(s.peers))
	mux.Handle("POST /v1/peers/{name}/{action}", short(s.orderPeer))
	mux.Handle("GET /v1/announcements", short(s.announcements))
	mux.Handle("POST /v1/announce", short(s.orderRoutes("announce", (*bgpNode).announce)))
	mux.Handle("POST /v1/withdraw", short(s.orderRoutes("withdraw", (*bgpNode).withdraw)))
	mux.Handle("POST /v1/config/apply", s.authorize(http.HandlerFunc(s.applyConfig)))
	mux.Handle("POST /v1/config/rollback/{number}", s.authorize(http.HandlerFunc(s.rollbackConfig)))
	mux.Handle("GET /v1/tail", s.authorize(http.HandlerFunc(s.tail)))
	mux.Handle("POST /v1/import", s.authorize(http.HandlerFunc(s.importFile)))
	path, service := s.newAPI().Handler()
	mux.Handle(path, s.authorize(service))
	// A page in a browser on this machine may not post here.
	return http.NewCrossOriginProtection().Handler(mux)
}

// authorize lets a request pass that carries the token. Without a token the
// server is on loopback only, and the request must name it by address: a name
// could be a foreign page's that was made to point here.
func (s *server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.token == "" {
			if !localHost(r.Host) {
				http.Error(w, "without a token the collector is only reached by IP address or as localhost", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		got, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(got), []byte(s.token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ribtap"`)
			http.Error(w, "the request carries no valid token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
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

// lineWriter writes JSON lines to a client and gives each a deadline.
type lineWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newLineWriter(w http.ResponseWriter) *lineWriter {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	return &lineWriter{w, http.NewResponseController(w)}
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
