package mrtdump

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the labels that code names.
const (
	typeUpdates = "updates"
	typeRIBs    = "ribs"

	recordMessage = "message"
	recordState   = "state-change"
	recordRIB     = "rib"

	skipImport     = "import"     // comes from a file already
	skipUnreadable = "unreadable" // no route can be taken from the message
	skipEntry      = "rib-entry"  // a route whose attributes do not fit a RIB record
	skipPeers      = "rib-peers"  // more peers than a PEER_INDEX_TABLE names
	skipRepeated   = "repeated"   // the event is in the archive
	skipSnapshot   = "snapshot"   // a table dump could not begin in time
)

type metrics struct {
	files    *prometheus.CounterVec // by type
	octets   *prometheus.CounterVec // by type, of finished files
	records  *prometheus.CounterVec // by record
	skipped  *prometheus.CounterVec // by reason
	failures *prometheus.CounterVec // by type
	seconds  *prometheus.HistogramVec

	messages, states prometheus.Counter // records, resolved once
}

// newMetrics registers with reg, which may be nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ribtap_mrt_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		files:    counter("files_total", "MRT files finished.", "type"),
		octets:   counter("file_octets_total", "Octets of finished MRT files, compressed.", "type"),
		records:  counter("records_total", "MRT records written.", "record"),
		skipped:  counter("skipped_total", "Events, routes and dumps that are not in the archive.", "reason"),
		failures: counter("failures_total", "Files that could not be written; updates are tried again.", "type"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ribtap_mrt_finish_seconds", Help: "Time to finish an MRT file.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"type"}),
	}
	for _, c := range []prometheus.Collector{m.files, m.octets, m.records, m.skipped, m.failures, m.seconds} {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("mrtdump: %w", err)
		}
	}
	m.messages, m.states = m.records.WithLabelValues(recordMessage), m.records.WithLabelValues(recordState)
	return m, nil
}

// finished counts a file that has its name.
func (m *metrics) finished(kind string, octets int64, took time.Duration) {
	m.files.WithLabelValues(kind).Inc()
	m.octets.WithLabelValues(kind).Add(float64(octets))
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
}
