package kafka

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type consumeMetrics struct {
	records     prometheus.Counter
	taken       atomic.Int64 // the same, to read
	generations prometheus.Counter
	unreadable  *prometheus.CounterVec // by reason
	retries     *prometheus.CounterVec // by what, reason
}

// took counts records that are stored.
func (m *consumeMetrics) took(n int) {
	m.records.Add(float64(n))
	m.taken.Add(int64(n))
}

func newConsumeMetrics(c *Consumer, reg prometheus.Registerer) (*consumeMetrics, error) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "ribtap_consume_" + name, Help: help}
	}
	m := &consumeMetrics{
		records:     prometheus.NewCounter(opts("records_total", "Records that are stored.")),
		generations: prometheus.NewCounter(opts("generations_total", "Assignments of partitions to this member of the group.")),
		unreadable:  prometheus.NewCounterVec(opts("unreadable_total", "Records that are not events, kept in anomalies or gaps."), []string{"reason"}),
		retries:     prometheus.NewCounterVec(opts("retries_total", "Failed attempts."), []string{"what", "reason"}),
	}
	for _, r := range []prometheus.Collector{m.records, m.generations, m.unreadable, m.retries, &partitionGauges{c}} {
		if err := reg.Register(r); err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
	}
	return m, nil
}

// partitionGauges shows the partitions that are assigned now.
type partitionGauges struct{ c *Consumer }

var (
	descOffset  = prometheus.NewDesc("ribtap_consume_offset", "Offset behind what is stored of a partition.", []string{"partition"}, nil)
	descLag     = prometheus.NewDesc("ribtap_consume_lag_records", "Records of a partition that are not stored.", []string{"partition"}, nil)
	descSeconds = prometheus.NewDesc("ribtap_consume_lag_seconds", "Age of the oldest record that was read and is not stored.", []string{"partition"}, nil)
	descMember  = prometheus.NewDesc("ribtap_consume_partitions", "Partitions that are assigned to this member of the group.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g *partitionGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descOffset, descLag, descSeconds, descMember} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *partitionGauges) Collect(ch chan<- prometheus.Metric) {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	now := time.Now()
	ch <- prometheus.MustNewConstMetric(descMember, prometheus.GaugeValue, float64(len(g.c.parts)))
	for n, p := range g.c.parts {
		if !p.opened.Load() {
			continue
		}
		label := strconv.Itoa(n)
		records, seconds := p.lag(now)
		ch <- prometheus.MustNewConstMetric(descOffset, prometheus.GaugeValue, float64(p.target.Position()), label)
		ch <- prometheus.MustNewConstMetric(descLag, prometheus.GaugeValue, float64(records), label)
		ch <- prometheus.MustNewConstMetric(descSeconds, prometheus.GaugeValue, seconds, label)
	}
}
