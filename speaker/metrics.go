package speaker

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
)

// direction is that of a message.
type direction uint8

const (
	received direction = iota
	sent
)

var directionNames = [...]string{"received", "sent"}

type metrics struct {
	messages      [2][bgp.MessageRouteRefresh + 1]prometheus.Counter
	notifications *prometheus.CounterVec // by code and direction
	refused       *prometheus.CounterVec // by reason

	attempts, connections, established prometheus.Counter // over all neighbours
}

// Reasons for refused connections, values of a metric label.
const (
	refusedUnknown    = "unknown-source"
	refusedRate       = "rate"
	refusedSessions   = "sessions"
	refusedDisabled   = "disabled"
	refusedRange      = "range-limit"
	refusedThird      = "connections"
	refusedProtection = "protection"
	refusedHeld       = "prefix-limit"
)

func newMetrics(reg prometheus.Registerer, s *Speaker) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ribtap_bgp_" + name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	m := &metrics{
		notifications: counter("notifications_total", "NOTIFICATION messages, by error code.", "code", "direction"),
		refused:       counter("refused_total", "Connections closed before a message was read.", "reason"),
	}
	total := func(name, help string) prometheus.Counter { return counter(name+"_total", help).WithLabelValues() }
	m.attempts = total("connection_attempts", "Connections that were dialled.")
	m.connections = total("connections", "Connections that came about, dialled and accepted.")
	m.established = total("established", "Sessions that became Established.")
	messages := counter("messages_total", "BGP messages, by type.", "type", "direction")
	for dir, name := range directionNames {
		for t := bgp.MessageOpen; t <= bgp.MessageRouteRefresh; t++ {
			m.messages[dir][t] = messages.WithLabelValues(bgp.MessageName(t), name)
		}
	}
	reg.MustRegister(&stateGauge{s: s, desc: prometheus.NewDesc(
		"ribtap_bgp_sessions", "Neighbours by state of their session.", []string{"state"}, nil)}, newMD5Counters())
	return m
}

func (m *metrics) message(typ uint8, dir direction) {
	if c := m.messages[dir][min(typ, bgp.MessageRouteRefresh)]; c != nil {
		c.Inc()
	}
}

func (m *metrics) notification(code uint8, dir direction) {
	m.notifications.WithLabelValues(strconv.Itoa(int(code)), directionNames[dir]).Inc()
}

// stateGauge counts when it is asked, and cannot drift.
type stateGauge struct {
	s    *Speaker
	desc *prometheus.Desc
}

func (g *stateGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *stateGauge) Collect(ch chan<- prometheus.Metric) {
	var n [Established + 1]int
	for _, st := range g.s.states() {
		n[st]++
	}
	for st := Idle; st <= Established; st++ {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(n[st]), st.String())
	}
}
