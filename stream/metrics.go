package stream

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/event"
)

// metrics are the log's own; the log itself is the collector of those that are
// states rather than counts.
type metrics struct {
	registerer prometheus.Registerer
	log        *Log

	appended     prometheus.Counter
	append, sync prometheus.Histogram
	errors       *prometheus.CounterVec
	blocked      prometheus.Gauge
	gaps         *prometheus.CounterVec
	lost         *prometheus.CounterVec
	retries      *prometheus.CounterVec
}

var (
	descLast      = prometheus.NewDesc("ribtap_stream_last_sequence", "Sequence of the last event in the stream.", nil, nil)
	descFirst     = prometheus.NewDesc("ribtap_stream_first_sequence", "Sequence of the oldest event that is kept.", nil, nil)
	descSynced    = prometheus.NewDesc("ribtap_stream_synced_sequence", "Sequence up to which events are on the disk.", nil, nil)
	descBytes     = prometheus.NewDesc("ribtap_stream_bytes", "Octets that the stream's segments take.", nil, nil)
	descSegments  = prometheus.NewDesc("ribtap_stream_segments", "Segments that are kept.", nil, nil)
	descCommitted = prometheus.NewDesc("ribtap_sink_committed_sequence", "Sequence of the last event that the sink has for good.", []string{"sink"}, nil)
	descLagEvents = prometheus.NewDesc("ribtap_sink_lag_events", "Events that the sink does not have yet.", []string{"sink"}, nil)
	descLagTime   = prometheus.NewDesc("ribtap_sink_lag_seconds", "Age of the oldest event that the sink does not have yet.", []string{"sink"}, nil)
)

func newMetrics(l *Log, reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	// From 10 µs, a write to memory, to 10 s, a disk in trouble.
	buckets := prometheus.ExponentialBuckets(1e-5, 4, 11)
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		registerer: reg, log: l,
		appended: prometheus.NewCounter(prometheus.CounterOpts{Name: "ribtap_stream_appended_bytes_total", Help: "Octets appended to the stream."}),
		append:   histogram("ribtap_stream_append_seconds", "Time that one append took, with waiting for space."),
		sync:     histogram("ribtap_stream_sync_seconds", "Time that making what was appended durable took."),
		errors:   counter("ribtap_stream_errors_total", "Failed operations of the stream on its disk.", "operation"),
		blocked:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "ribtap_stream_blocked", Help: "1 while a write waits for space."}),
		gaps:     counter("ribtap_gaps_total", "Known holes, one for each sink that was given it.", "cause"),
		lost:     counter("ribtap_stream_lost_events_total", "Events in those holes, as far as they could be counted.", "cause"),
		retries:  counter("ribtap_sink_retries_total", "Writes to a sink that failed and were tried again.", "sink", "reason"),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.append, m.sync, m.appended, m.blocked, l} {
		errs = append(errs, reg.Register(c))
	}
	for _, v := range []**prometheus.CounterVec{&m.errors, &m.gaps, &m.lost, &m.retries} {
		errs = append(errs, share(reg, v))
	}
	if err := errors.Join(errs...); err != nil {
		m.unregister()
		return nil, err
	}
	// There from the start, or the first gap would be no increase.
	for _, c := range []event.Cause{event.CauseOverflow, event.CauseCorrupt} {
		m.gaps.WithLabelValues(c.String())
	}
	return m, nil
}

// share registers a counter, or takes the one that another package, or a log
// that was open before, has registered under the same name.
func share(reg prometheus.Registerer, v **prometheus.CounterVec) error {
	err := reg.Register(*v)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			*v = old
			return nil
		}
	}
	return err
}

// unregister takes back what describes this one log. Counters stay.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range []prometheus.Collector{m.append, m.sync, m.appended, m.blocked, m.log} {
		m.registerer.Unregister(c)
	}
}

// Describe implements prometheus.Collector.
func (l *Log) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLast, descFirst, descSynced, descBytes, descSegments, descCommitted, descLagEvents, descLagTime,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Log) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	l.mu.Lock()
	last, first, synced, total, segments := l.last, l.firstLocked(), l.synced, l.total, len(l.segments)
	l.mu.Unlock()
	gauge(descLast, float64(last))
	gauge(descFirst, float64(first))
	gauge(descSynced, float64(synced))
	gauge(descBytes, float64(total))
	gauge(descSegments, float64(segments))
	for _, s := range l.Followers() {
		gauge(descCommitted, float64(s.Committed), s.Name)
		gauge(descLagEvents, float64(s.LagEvents), s.Name)
		gauge(descLagTime, s.LagSeconds, s.Name)
	}
}

// countGap counts a gap that was recorded, or handed to a follower.
func (l *Log) countGap(ev *event.Event) {
	l.gaps.Add(1)
	l.m.gaps.WithLabelValues(ev.Cause.String()).Inc()
	l.m.lost.WithLabelValues(ev.Cause.String()).Add(float64(ev.Lost))
}

// age returns how long ago t was; 0 for no time and for the future.
func age(t event.Time) time.Duration {
	if t == 0 {
		return 0
	}
	return max(0, time.Since(t.Std()))
}
