package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ribtap/ribtap/sinks/sqlite"
)

// Bounds of an answer from the history.
const (
	rowsUsual = 1_000  // without a limit
	rowsMost  = 10_000 // of what is answered as one JSON object; lines and CSV have no bound
	// diffRoutes bounds a side of a comparison, which is held in memory.
	diffRoutes = 200_000
	// historyReaders is how many questions are answered at a time.
	historyReaders = 16
	// lineWrite is how long a client of lines or CSV may take for a part: a reader
	// that stands keeps the store's file from giving room back.
	lineWrite = 10 * time.Second
)

// historyServer answers questions about the SQLite history over HTTP, with the words
// of the commands and the names of the views.
type historyServer struct {
	path    string
	enabled bool
	places  chan struct{}

	mu     sync.Mutex
	reader *sqlite.Reader // nil until the store is there
}

func newHistoryServer(s *settings) *historyServer {
	return &historyServer{path: s.historyPath(), enabled: s.Sinks.SQLite.Enabled, places: make(chan struct{}, historyReaders)}
}

// httpError is an error with its status code.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

func httpErrorf(code int, format string, args ...any) error {
	return &httpError{code, fmt.Sprintf(format, args...)}
}

// open returns the store's reader.
func (h *historyServer) open() (*sqlite.Reader, error) {
	if !h.enabled {
		return nil, httpErrorf(http.StatusNotFound, "sinks.sqlite is not enabled here, so there is no history to ask; the same views are in PostgreSQL")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader == nil {
		if _, err := os.Stat(h.path); errors.Is(err, fs.ErrNotExist) {
			return nil, httpErrorf(http.StatusServiceUnavailable, "there is no history yet")
		}
		r, err := sqlite.OpenReader(h.path)
		if err != nil {
			return nil, err
		}
		h.reader = r
	}
	return h.reader, nil
}

func (h *historyServer) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reader == nil {
		return nil
	}
	err := h.reader.Close()
	h.reader = nil
	return err
}

// Parameters of the lists, besides those of filterNames.
var (
	paramsTimes  = []string{"from", "to", "newest"}
	paramsAnswer = []string{"limit", "format"}
	paramsDiff   = []string{"at", "to-at", "to-rib", "to-peer", "to-router", "limit"}
)

func filterParams() (names []string) {
	for _, f := range filterNames {
		names = append(names, f.name)
	}
	return names
}

// knownParams refuses what is no parameter, so that a typo does not widen a question.
func knownParams(v url.Values, known ...[]string) error {
	all := slices.Concat(known...)
	for name, values := range v {
		if !slices.Contains(all, name) {
			return httpErrorf(http.StatusBadRequest, "%s is no parameter here; nearest is %s", name, nearest(name, all))
		}
		if len(values) > 1 {
			return httpErrorf(http.StatusBadRequest, "%s is there %d times", name, len(values))
		}
	}
	return nil
}

// ask answers one question; f writes the answer.
func (h *historyServer) ask(f func(ctx context.Context, w http.ResponseWriter, v url.Values, r *sqlite.Reader) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := func() error {
			v, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil {
				return httpErrorf(http.StatusBadRequest, "the query: %v", err)
			}
			select {
			case h.places <- struct{}{}:
				defer func() { <-h.places }()
			case <-r.Context().Done():
				return httpErrorf(http.StatusServiceUnavailable, "too many questions at once")
			}
			reader, err := h.open()
			if err != nil {
				return err
			}
			ctx := r.Context()
			if format := v.Get("format"); format == "" || format == "json" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, httpAnswerTimeout, errTooLong)
				defer cancel()
			}
			if err = f(ctx, w, v, reader); err != nil && errors.Is(context.Cause(ctx), errTooLong) {
				err = errTooLong
			}
			return err
		}()
		if err == nil || r.Context().Err() != nil {
			return // answered, or nobody waits
		}
		if errors.Is(err, errBroken) {
			panic(http.ErrAbortHandler) // so that nobody takes a part for the whole
		}
		code := http.StatusInternalServerError
		if e, ok := errors.AsType[*httpError](err); ok {
			code = e.code
		} else if e, ok := errors.AsType[*exitError](err); ok && e.code == exitUsage {
			code = http.StatusBadRequest
		}
		http.Error(w, strings.ReplaceAll(oneLine(err.Error()), "--", ""), code)
	}
}

var (
	errTooLong = &httpError{http.StatusGatewayTimeout, fmt.Sprintf("the answer took more than %s: name a prefix or a peer", httpAnswerTimeout)}
	errBroken  = errors.New("an answer of lines broke off")
)

// partWriter gives each part of an answer its deadline.
type partWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (p partWriter) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(lineWrite)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// answerLines lets write send an answer as it comes.
func answerLines(w http.ResponseWriter, contentType string, write func(b *bufio.Writer) error) error {
	w.Header().Set("Content-Type", contentType)
	b := bufio.NewWriterSize(partWriter{w, http.NewResponseController(w)}, 64<<10)
	if err := errors.Join(write(b), b.Flush()); err != nil {
		return errors.Join(errBroken, err)
	}
	return nil
}

// question reads the filters, times and limit of a request.
func question(v url.Values) (q sqlite.Query, err error) {
	f, err := parseFilter(v)
	if err != nil {
		return q, err
	}
	if q, err = f.query(); err != nil {
		return q, err
	}
	for name, to := range map[string]*time.Time{"at": &q.At, "from": &q.From, "to": &q.To} {
		if *to, err = timeFlag(name, v.Get(name)); err != nil {
			return q, err
		}
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return q, httpErrorf(http.StatusBadRequest, "to %s is before from %s", v.Get("to"), v.Get("from"))
	}
	switch v.Get("newest") {
	case "", "false":
	case "true":
		q.Newest = true
	default:
		return q, httpErrorf(http.StatusBadRequest, "newest %q is neither true nor false", v.Get("newest"))
	}
	q.Limit, err = limitOf(v)
	return q, err
}

func limitOf(v url.Values) (int, error) {
	lines := v.Get("format") == "ndjson" || v.Get("format") == "csv"
	s := v.Get("limit")
	if s == "" && lines {
		return 0, nil
	}
	if s == "" {
		return rowsUsual, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > rowsMost && !lines {
		return 0, httpErrorf(http.StatusBadRequest, "limit %q is not a number from 1 to %d", s, rowsMost)
	}
	return n, nil
}

// rowsAnswer is a list in one JSON object. More says that there are more rows than
// the limit.
type rowsAnswer[T any] struct {
	Rows []T  `json:"rows"`
	More bool `json:"more"`
}

// listing serves one of the Reader's lists.
func listing[T any](h *historyServer, rows rowsMethod[T], params []string) http.HandlerFunc {
	return h.ask(func(ctx context.Context, w http.ResponseWriter, v url.Values, r *sqlite.Reader) error {
		if err := knownParams(v, params); err != nil {
			return err
		}
		q, err := question(v)
		if err != nil {
			return err
		}
		switch v.Get("format") {
		case "", "json":
			limit := q.Limit
			q.Limit++ // one more tells whether there are more
			return answerRows(w, rows(r, ctx, q), limit)
		case "ndjson":
			return answerLines(w, "application/x-ndjson", func(b *bufio.Writer) error { return writeNDJSON(b, rows(r, ctx, q)) })
		case "csv":
			w.Header().Set("Content-Disposition", `attachment; filename="ribtap.csv"`)
			return answerLines(w, "text/csv; charset=utf-8", func(b *bufio.Writer) error { return writeCSV(b, rows(r, ctx, q)) })
		}
		return httpErrorf(http.StatusBadRequest, "format %q is not one of json, ndjson, csv", v.Get("format"))
	})
}

// answerRows writes up to limit rows.
func answerRows[T any](w http.ResponseWriter, rows iter.Seq2[T, error], limit int) error {
	a := rowsAnswer[T]{Rows: []T{}}
	for row, err := range rows {
		if err != nil {
			return err
		}
		if len(a.Rows) == limit {
			a.More = true
			break
		}
		a.Rows = append(a.Rows, row)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = encoder(w).Encode(a) // a client that has gone
	return nil
}

// diff compares as the command does, within a bound.
func (h *historyServer) diff(ctx context.Context, w http.ResponseWriter, v url.Values, r *sqlite.Reader) error {
	if err := knownParams(v, filterParams(), []string{"prefix"}, paramsDiff); err != nil {
		return err
	}
	sides := diffSides{at: v.Get("at"), toAt: v.Get("to-at"), toRIB: v.Get("to-rib"), toPeer: v.Get("to-peer"), toRouter: v.Get("to-router")}
	filters := maps.Clone(v)
	delete(filters, "prefix")
	var target []string
	if p := v.Get("prefix"); p != "" {
		target = []string{p}
	}
	left, right, err := sides.queries(filters, target)
	if err != nil {
		return err
	}
	limit, err := limitOf(v)
	if err != nil {
		return err
	}
	first := map[diffKey]sqlite.Route{}
	for row, err := range r.Routes(ctx, left) {
		if err != nil {
			return err
		}
		if len(first) == diffRoutes {
			return httpErrorf(http.StatusRequestEntityTooLarge, "more than %d routes to compare: name a prefix, peer or family, or use the command ribtap diff", diffRoutes)
		}
		first[sides.key(&row)] = row
	}
	same := true
	return answerRows(w, differences(first, r.Routes(ctx, right), sides, &same), limit)
}
