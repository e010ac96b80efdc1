package sqlite

import "github.com/prometheus/client_golang/prometheus"

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

// uncounted are the rows and anomalies of the transaction under way: they count
// when it is committed.
type uncounted struct {
	rows      map[string]int
	anomalies map[string]int
}

func (u *uncounted) row(table string, n int) {
	if u.rows == nil {
		u.rows = map[string]int{}
	}
	u.rows[table] += n
}

func (u *uncounted) anomaly(reason string) {
	if u.anomalies == nil {
		u.anomalies = map[string]int{}
	}
	u.anomalies[reason]++
}

func (u *uncounted) clear() {
	clear(u.rows)
	clear(u.anomalies)
}

// count adds what is uncounted to the metrics.
func (u *uncounted) count(m *metrics) {
	for table, n := range u.rows {
		m.rows.WithLabelValues(table).Add(float64(n))
	}
	for reason, n := range u.anomalies {
		m.anomalies.WithLabelValues(reason).Add(float64(n))
	}
	u.clear()
}
