package postgres

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/history"
)

type metrics struct {
	rows      *prometheus.CounterVec // by table
	anomalies *prometheus.CounterVec // by reason
	commit    prometheus.Histogram
	connects  prometheus.Counter
	dropped   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ribtap_postgres_rows_total", Help: "Rows committed to the PostgreSQL history, by table.",
		}, []string{"table"}),
		anomalies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ribtap_postgres_anomalies_total", Help: "Events kept raw because they could not be read or stored.",
		}, []string{"reason"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ribtap_postgres_commit_seconds", Help: "Time of a commit.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10},
		}),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ribtap_postgres_connects_total", Help: "Connections made for writing.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ribtap_postgres_dropped_partitions_total", Help: "Days of history dropped because of their age.",
		}),
	}
	for _, c := range []prometheus.Collector{m.rows, m.anomalies, m.commit, m.connects, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// count adds what a transaction wrote.
func (m *metrics) count(c *history.Counts) {
	for table, n := range c.Rows {
		m.rows.WithLabelValues(table).Add(float64(n))
	}
	for reason, n := range c.Anomalies {
		m.anomalies.WithLabelValues(reason).Add(float64(n))
	}
	c.Clear()
}
