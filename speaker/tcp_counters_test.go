package speaker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMD5Counters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "netstat")
	text := "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPBacklogDrop\n" +
		"TcpExt: 1 20 3 18446744073709551615 5\n" +
		"IpExt: InNoRoutes TCPMD5NotFound\n" +
		"IpExt: 7 8\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := `# HELP ribtap_tcp_md5_total Segments that the kernel dropped because of TCP MD5, in the whole network namespace: not-found (no signature where there is a key), unexpected (a signature where there is none), failure (a wrong one).
# TYPE ribtap_tcp_md5_total counter
ribtap_tcp_md5_total{result="failure"} 1.8446744073709552e+19
ribtap_tcp_md5_total{result="not-found"} 20
ribtap_tcp_md5_total{result="unexpected"} 3
`
	if err := testutil.CollectAndCompare(md5CountersOf(path), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	// Without the file, or with another, there is nothing, and nothing fails.
	if n := testutil.CollectAndCount(md5CountersOf(path + ".none")); n != 0 {
		t.Errorf("%d metrics of no file", n)
	}
	for _, text := range []string{"", "TcpExt: A B\n", "TcpExt: TCPMD5NotFound B\nTcpExt: 1\n", "TcpExt: TCPMD5NotFound\nTcpExt: -1\n", "TcpExt: A\nTcpExt: 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := testutil.CollectAndCount(md5CountersOf(path)); n != 0 {
			t.Errorf("%d metrics of %q", n, text)
		}
	}
}

// TestMD5CountersCount has the kernel count each kind.
func TestMD5CountersCount(t *testing.T) {
	t.Parallel()
	counters := newMD5Counters()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(counters); err != nil {
		t.Fatal(err)
	}
	read := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
		return got
	}
	l := serve(t, newKernel(), "tcp4", "127.0.0.1:0", withPassword(peer("p", "127.0.7.1"), "word"))
	for result, c := range map[string]caller{
		"not-found":  {from: "127.0.7.1"},
		"failure":    {from: "127.0.7.1", password: "wrong"},
		"unexpected": {from: "127.0.7.2", password: "word"},
	} {
		before := read()
		c.refused(t, l)
		if after := read(); after[result] <= before[result] {
			t.Errorf("%s: %v before, %v after", result, before, after)
		}
	}
}
