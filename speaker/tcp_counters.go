package speaker

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// md5Counters reads at each scrape what the kernel counts of TCP MD5 (RFC 2385).
// The counters are those of the network namespace: a neighbour with a wrong key
// shows in them and nowhere else, and not by name.
type md5Counters struct {
	path string
	desc *prometheus.Desc
}

// newMD5Counters returns the collector of ribtap_tcp_md5_total{result}.
func newMD5Counters() prometheus.Collector { return md5CountersOf("/proc/net/netstat") }

func md5CountersOf(path string) *md5Counters {
	return &md5Counters{path: path, desc: prometheus.NewDesc("ribtap_tcp_md5_total",
		"Segments that the kernel dropped because of TCP MD5, in the whole network namespace: "+
			"not-found (no signature where there is a key), unexpected (a signature where there is none), failure (a wrong one).",
		[]string{"result"}, nil)}
}

// md5Results are the labels of the kernel's names.
var md5Results = []struct{ name, result string }{
	{"TCPMD5NotFound", "not-found"},
	{"TCPMD5Unexpected", "unexpected"},
	{"TCPMD5Failure", "failure"},
}

// Describe implements prometheus.Collector.
func (c *md5Counters) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. What cannot be read is left out: the
// other metrics are worth more than an error.
func (c *md5Counters) Collect(out chan<- prometheus.Metric) {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return
	}
	counters, err := parseNetstat(text, "TcpExt")
	if err != nil {
		return
	}
	for _, r := range md5Results {
		if n, ok := counters[r.name]; ok {
			out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n), r.result)
		}
	}
}

// parseNetstat reads one group of /proc/net/netstat, which is a line of names and
// a line of values, both beginning with the name of the group.
func parseNetstat(text []byte, group string) (map[string]uint64, error) {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), group+": ")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if names == nil {
			names = fields
			continue
		}
		if len(fields) != len(names) {
			return nil, errors.New("speaker: netstat has not as many values as names")
		}
		counters := make(map[string]uint64, len(names))
		for i, name := range names {
			n, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				continue // some are signed; none of ours
			}
			counters[name] = n
		}
		return counters, nil
	}
	return nil, errors.Join(errors.New("speaker: netstat has no "+group), lines.Err())
}
