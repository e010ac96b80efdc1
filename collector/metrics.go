package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

type metrics struct {
	messages     *prometheus.CounterVec // by type
	octets       prometheus.Counter
	sessions     prometheus.Gauge
	refused      *prometheus.CounterVec // by reason
	decodeErrors *prometheus.CounterVec // by reason
	anomalies    *prometheus.CounterVec // by reason
	events       *prometheus.CounterVec // by kind
	verdicts     *prometheus.CounterVec // by verdict
	inferred     *prometheus.CounterVec // by cause
	// Resolved once, because they are of every message.
	byKind [32]prometheus.Counter                         // of events
	byType [bmp.TypeRouteMirroring + 1]prometheus.Counter // of messages
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ribtap_" + name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	m := &metrics{
		messages:     counter("bmp_messages_total", "BMP messages received, by type.", "type"),
		refused:      counter("bmp_connections_refused_total", "Connections closed before a message was read.", "reason"),
		decodeErrors: counter("decode_errors_total", "Messages that could not be read; kept raw in the stream.", "reason"),
		anomalies:    counter("anomalies_total", "Messages that were accepted although something in them is wrong.", "reason"),
		events:       counter("events_total", "Events written to the stream.", "kind"),
		verdicts:     counter("update_verdicts_total", "UPDATE messages with an error, by RFC 7606 verdict.", "verdict"),
		inferred:     counter("inferred_withdrawals_total", "Routes withdrawn without a message from the router.", "cause"),
	}
	m.octets = prometheus.NewCounter(prometheus.CounterOpts{Name: "ribtap_bmp_octets_total", Help: "Octets of BMP messages received."})
	m.sessions = prometheus.NewGauge(prometheus.GaugeOpts{Name: "ribtap_bmp_sessions", Help: "BMP sessions now."})
	reg.MustRegister(m.octets, m.sessions)
	for k := event.KindRouterUp; k <= event.KindState; k++ {
		m.byKind[k] = m.events.WithLabelValues(k.String())
	}
	for t := range m.byType {
		m.byType[t] = m.messages.WithLabelValues(bmp.Type(t).String())
	}
	return m
}
