package kafka

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Reasons why an event, or a part of it, has no record.
const (
	skipFormat   = "format"   // the format has no message for it
	skipPresent  = "present"  // the topic had it already
	skipRepeated = "repeated" // it came again
)

type metrics struct {
	records    prometheus.Counter
	octets     *prometheus.CounterVec // by form: plain, sent
	batches    prometheus.Counter
	resends    prometheus.Counter
	duplicates prometheus.Counter
	reinits    prometheus.Counter
	oversize   prometheus.Counter
	reduced    prometheus.Counter
	skipped    *prometheus.CounterVec // by reason
	errors     *prometheus.CounterVec // by reason

	plain, sent prometheus.Counter
}

// newMetrics registers with reg, which may be nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "ribtap_kafka_" + name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ribtap_kafka_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		records:    counter("records_total", "Records that Kafka acknowledged."),
		octets:     vector("octets_total", "Octets of acknowledged record batches, before and after compression.", "form"),
		batches:    counter("batches_total", "Record batches that Kafka acknowledged."),
		resends:    counter("resends_total", "Record batches that were sent again after an error."),
		duplicates: counter("duplicates_acknowledged_total", "Record batches that Kafka had already when they were sent again."),
		reinits:    counter("reinits_total", "New producer ids after the first one."),
		oversize:   counter("oversize_total", "Records that were larger than the topic takes, and were replaced by a note."),
		reduced:    counter("reduced_total", "Messages whose routes were published without the attributes that all of them repeat, because together they were too large."),
		skipped:    vector("skipped_total", "Events and routes without a record.", "reason"),
		errors:     vector("errors_total", "Failed requests.", "reason"),
	}
	for _, c := range []prometheus.Collector{
		m.records, m.octets, m.batches, m.resends, m.duplicates, m.reinits, m.oversize, m.reduced, m.skipped, m.errors,
	} {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
	}
	m.plain, m.sent = m.octets.WithLabelValues("plain"), m.octets.WithLabelValues("sent")
	return m, nil
}
