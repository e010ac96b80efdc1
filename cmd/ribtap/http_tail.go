package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// tailLimits bound a client of /v1/tail. It reads the stream through a Reader
// of its own, so nothing waits for it; the bounds are there for the client's
// sake, who would otherwise take old events for present ones.
type tailLimits struct {
	write   time.Duration // for one batch
	lag     uint64        // events, once the client has been up to date
	clients int64
}

var defaultTailLimits = tailLimits{write: 10 * time.Second, lag: 200_000, clients: 512}

// tail streams events as JSON lines: from the sequence in "from", or from what
// comes next. A line {"error":…} ends it when the daemon does.
func (s *server) tail(w http.ResponseWriter, r *http.Request) { s.stream(w, r, framing{}) }

// events streams the same as server-sent events for browsers, with the sequence as
// their id: an EventSource that connects anew goes on where it was.
func (s *server) events(w http.ResponseWriter, r *http.Request) { s.stream(w, r, framing{sse: true}) }

func (s *server) stream(w http.ResponseWriter, r *http.Request, f framing) {
	query := r.URL.Query()
	filter, err := parseFilter(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	from := s.node.stream.Last() + 1
	if v := query.Get("from"); v != "" {
		if from, err = strconv.ParseUint(v, 10, 64); err != nil {
			http.Error(w, fmt.Sprintf("from=%q is not a sequence", v), http.StatusBadRequest)
			return
		}
	}
	if v := r.Header.Get("Last-Event-ID"); v != "" {
		last, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			http.Error(w, fmt.Sprintf("Last-Event-ID %q is not a sequence", v), http.StatusBadRequest)
			return
		}
		from = last + 1
	}
	if !s.tails.enter(w) {
		return
	}
	defer s.tails.leave()
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	out := newLineWriter(w, f)
	if err := out.write(nil, s.tails.limits.write); err != nil {
		return
	}
	reason := s.follow(ctx, out, from, &matcher{filter: filter}, query.Get("raw") == "true")
	if reason != "" {
		out.last(reason)
	}
}

// enter counts a client, or tells it that there are too many.
func (t *tails) enter(w http.ResponseWriter) bool {
	if t.count.Add(1) > t.limits.clients {
		t.count.Add(-1)
		http.Error(w, fmt.Sprintf("%d clients follow the stream already", t.limits.clients), http.StatusServiceUnavailable)
		return false
	}
	return true
}

func (t *tails) leave() { t.count.Add(-1) }

// untilStop is a context that also ends when the daemon stops.
func (s *server) untilStop(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// follow returns why it ended, empty when the client went away. A client that wants
// every event takes them from the hub, once it has come so far.
func (s *server) follow(ctx context.Context, out *lineWriter, from uint64, m *matcher, raw bool) string {
	shared := !raw && m.all() && s.hub != nil
	if shared {
		s.hub.enter()
		defer s.hub.leave()
	}
	live := false
	for {
		if shared {
			p, err := s.hub.wait(ctx, from)
			if err != nil {
				return s.tailEnd(ctx, err)
			}
			if p != nil {
				if reason, gone := s.give(out, p.from(from, out.framing), p.last(), true); gone {
					return reason
				}
				from, live = p.last()+1, true
				continue
			}
		}
		last, reason, gone := s.followAlone(ctx, out, from, m, raw, shared, live)
		if gone {
			return reason
		}
		from = last + 1
	}
}

// followAlone reads the stream for one client: for ever, or until the hub has what
// comes next.
func (s *server) followAlone(ctx context.Context, out *lineWriter, from uint64, m *matcher, raw, shared, live bool) (last uint64, reason string, gone bool) {
	rd := s.node.stream.NewReader(from)
	defer rd.Close()
	enc := event.Encoder{Raw: raw}
	var buf, one []byte
	for {
		batch, err := rd.Next(ctx)
		if err != nil {
			return 0, s.tailEnd(ctx, err), true
		}
		last = batch[len(batch)-1].Sequence
		live = live || last >= s.node.stream.Last()
		buf = buf[:0]
		for i := range batch {
			if m.event(&batch[i]) {
				one = enc.Append(one[:0], &batch[i])
				buf = out.append(buf, batch[i].Sequence, one)
			}
		}
		if reason, gone := s.give(out, buf, last, live); gone {
			return 0, reason, true
		}
		if shared && s.hub.has(last+1) {
			return last, "", false
		}
	}
}

// give sends a part of the stream that ends with an event.
func (s *server) give(out *lineWriter, b []byte, last uint64, live bool) (reason string, gone bool) {
	if len(b) > 0 {
		if err := out.write(b, s.tails.limits.write); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return s.cut("the client read nothing for " + s.tails.limits.write.String()), true
			}
			return "", true
		}
	}
	if now := s.node.stream.Last(); live && now > last+s.tails.limits.lag {
		return s.cut(fmt.Sprintf("too slow: %d events behind; filter more, or begin again with from=%d", now-last, last+1)), true
	}
	return "", false
}

func (s *server) tailEnd(ctx context.Context, err error) string {
	select {
	case <-s.stopping:
		return "the collector is stopping"
	default:
	}
	if ctx.Err() != nil {
		return ""
	}
	if errors.Is(err, stream.ErrClosed) {
		return "the collector is stopping"
	}
	return err.Error()
}

func (s *server) cut(reason string) string {
	s.tails.cut.Inc()
	s.log.Info("tail client cut", "reason", reason)
	return reason
}
