package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// reasonError is an error of a sink that has a word for metrics.
type reasonError interface {
	error
	RetryReason() string
}

// reasons remembers why a sink fails, from its first failure to the next success.
// It logs each reason once: the stream logs the first and says when it is over,
// but a server that goes down and comes back with another password fails twice,
// and the second is the one to act on.
type reasons struct {
	name    string
	log     *slog.Logger
	retries *prometheus.CounterVec
	seen    map[string]bool
	first   reasonError
}

func (n *node) newReasons(sink string) (reasons, error) {
	retries, err := streamCounter(n.reg, "ribtap_sink_retries_total", "Writes to a sink that failed and were tried again.", "sink", "reason")
	return reasons{name: sink, log: n.log.With("sink", sink), retries: retries}, err
}

// streamCounter returns a counter that the stream has registered. The text is
// part of its identity.
func streamCounter(reg prometheus.Registerer, name, help string, labels ...string) (*prometheus.CounterVec, error) {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	err := reg.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			return old, nil
		}
	}
	return c, err
}

// noteIdle is note for a call of Idle, in which a sink may write what it holds,
// or connect. The stream counts failed calls of Write alone.
func (r *reasons) noteIdle(err error) error {
	if told, ok := errors.AsType[reasonError](err); ok && !errors.Is(err, context.Canceled) {
		r.retries.WithLabelValues(r.name, told.RetryReason()).Inc()
	}
	return r.note(err)
}

// note returns what is to be said of err.
func (r *reasons) note(err error) error {
	if err == nil {
		r.seen, r.first = nil, nil
		return nil
	}
	told, ok := errors.AsType[reasonError](err)
	if !ok || errors.Is(err, context.Canceled) { // the end of ribtap, not of the sink
		return err
	}
	reason := told.RetryReason()
	if r.first == nil {
		r.seen, r.first = map[string]bool{reason: true}, told
		return err
	}
	// A server that stopped because its disk was full is only gone by now.
	if first := r.first.RetryReason(); isGone(reason) && !isGone(first) {
		err = &begunError{err, r.first}
	}
	if !r.seen[reason] {
		r.seen[reason] = true
		r.log.Warn("the sink still fails, for another reason", "reason", reason, "error", err)
	}
	return err
}

// isGone reports whether a reason only says that there is nobody.
func isGone(reason string) bool {
	switch reason {
	case "network", "timeout", "shutdown", "starting", "leader":
		return true
	}
	return false
}

// begunError says of an outage how it began.
type begunError struct {
	error
	first error
}

func (e *begunError) Error() string { return e.error.Error() + "; it began with: " + e.first.Error() }

func (e *begunError) Unwrap() error { return e.error }
