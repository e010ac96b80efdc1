package sqlite

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/history"
)

type metrics struct {
	rows      *prometheus.CounterVec // by table
	anomalies *prometheus.CounterVec // by reason
	commit    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ribtap_sqlite_rows_total", Help: "Rows committed to the SQLite history, by table.",
		}, []string{"table"}),
		anomalies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ribtap_sqlite_anomalies_total", Help: "Events kept raw because they could not be read or stored.",
		}, []string{"reason"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ribtap_sqlite_commit_seconds", Help: "Time of a commit, with the WAL checkpoint it may bring.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10},
		}),
	}
	for _, c := range []prometheus.Collector{m.rows, m.anomalies, m.commit} {
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
