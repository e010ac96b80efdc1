package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// applyLine is a line of the answer to a candidate: progress any number of times,
// then a result or an error.
type applyLine struct {
	Progress *canaryProgress `json:"progress,omitempty"`
	Result   *applied        `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

const maxConfigFile = 16 << 20

// applyConfig takes a configuration file as the request's body.
func (s *server) applyConfig(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		name = "the request"
	}
	body := &patientReader{r: http.MaxBytesReader(w, r.Body, maxConfigFile), rc: http.NewResponseController(w)}
	text, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, "the request's body: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.candidate(w, r, "apply", name, text)
}

// rollbackConfig takes the number of a snapshot in the path.
func (s *server) rollbackConfig(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		http.Error(w, fmt.Sprintf("%q is not the number of a configuration", r.PathValue("number")), http.StatusBadRequest)
		return
	}
	text, err := s.live.kept.read(n)
	if err != nil {
		answer(w, nil, err)
		return
	}
	s.candidate(w, r, "rollback", "configuration "+strconv.Itoa(n), text)
}

// candidate applies a configuration and answers with JSON lines. The observation
// goes on when the client has gone.
func (s *server) candidate(w http.ResponseWriter, r *http.Request, by, name string, text []byte) {
	c, err := parseCanary(r.URL.Query().Get("canary"), r.URL.Query().Get("max_change"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	var out *lineWriter
	say := func(line applyLine) {
		if out == nil {
			out = newLineWriter(w, framing{})
		}
		_ = out.value(line, time.Second) // the log knows, should the client have gone
	}
	a, err := s.live.apply(ctx, by, name, text, c, func(p canaryProgress) { say(applyLine{Progress: &p}) })
	switch ce, wrong := errors.AsType[*configError](err); {
	case err == nil:
		say(applyLine{Result: &a})
	case wrong:
		http.Error(w, strings.Join(ce.problems, "\n"), http.StatusUnprocessableEntity)
	default:
		answer(w, nil, err)
	}
}

// parseCanary reads a window and a percentage as people write them.
func parseCanary(window, change string) (canary, error) {
	c := canary{MaxChange: defaultMaxChange}
	if window != "" {
		d, err := parseDuration(window)
		if err != nil {
			return c, usagef("--canary %w", err)
		}
		if d == 0 {
			return c, usagef("--canary 0 observes nothing; leave it out")
		}
		c.Window = d
	}
	if change != "" {
		if window == "" {
			return c, usagef("--max-change needs --canary")
		}
		f, err := strconv.ParseFloat(strings.TrimSuffix(change, "%"), 64)
		if err != nil {
			return c, usagef("--max-change %q is not a percentage", change)
		}
		c.MaxChange = f
	}
	return c, c.validate()
}

// defaultMaxChange is by how many per cent routes may move.
const defaultMaxChange = 30
