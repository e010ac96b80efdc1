package mrtdump

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ event.Sink  = (*Sink)(nil)
	_ event.Idler = (*Sink)(nil)
)

// rig is a sink on a real disk.
type rig struct {
	*Sink
	t     *testing.T
	clock *clock
	cfg   Config
}

func newRig(t *testing.T, cfg Config, rib RIB) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{t: at0.Add(10 * time.Second)}, cfg: cfg}
	r.start(rib)
	return r
}

func (r *rig) start(rib RIB) {
	r.t.Helper()
	s, err := newSink(r.cfg, testLog(r.t), nil, rib, osDisk{}, r.clock.now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Sink = s
}

func (r *rig) write(events ...event.Event) {
	r.t.Helper()
	if err := eventtest.Trash(r.Sink).Write(context.Background(), events); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) idle(seconds float64) {
	r.t.Helper()
	r.clock.set(at0.Add(time.Duration(seconds * float64(time.Second))))
	if err := r.Idle(context.Background(), r.clock.now()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) want(want map[string][]string) {
	r.t.Helper()
	if diff := cmp.Diff(want, archive(r.t, r.cfg.Dir), cmpopts.EquateEmpty()); diff != "" {
		r.t.Errorf("archive (-want +got):\n%s", diff)
	}
}

func TestArchive(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	stale := inferred(withdraw(peerA, event.AdjRIBInPre, "203.0.113.0/24"), event.CauseStaleSweep)
	dropped := announce(peerA, event.AdjRIBInPre, "203.0.113.9/32")
	dropped.Flags = event.FlagDropped
	v6 := announce(peerB, event.AdjRIBInPre, "203.0.113.0/24")
	v6.PDU = update(nil, join(originIGP, asPath(65001), mpReach6(prefixes("2001:db8:62::/48"))), nil)
	file := announce(peerA, event.AdjRIBInPre, "203.0.113.8/32")
	file.Source = event.SourceMRT
	two := announce(peerA, event.AdjRIBInPre, "198.51.100.0/24")
	two.Session.AS4 = false
	two.PDU = update(nil, join(originIGP, []byte{0x40, 2, 4, 2, 1, 0xfd, 0xe9}, nextHop4), prefixes("198.51.100.0/24"))
	r.write(timed(1, []float64{10, 11, 12.000123, 12.5, 13, 14, 15, 16, 17, 18, 19, 310, 311},
		event.Event{Kind: event.KindRouterUp, Source: event.SourceBMP, Router: router},
		peerEvent(event.KindPeerUp, peerA),
		announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"),
		announce(peerA, event.AdjRIBInPost, "203.0.113.0/24"),
		peerEvent(event.KindPeerUp, peerLoc),
		announce(peerLoc, event.LocRIB, "203.0.113.0/24"),
		v6, two, stale, dropped, file,
		inferred(peerEvent(event.KindPeerDown, peerA), event.CauseSessionLost),
		inferred(withdraw(peerA, event.AdjRIBInPre, "198.51.100.0/24"), event.CauseSessionLost),
	)...)
	r.idle(601.5)
	r.idle(902)
	r.write(timed(14, []float64{903}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.close()
	main := func(hhmm string) string { return "rt1/2026.11/updates.20261124." + hhmm + ".gz" }
	r.want(map[string][]string{
		main("0400"): {
			"04:00:11.000000 state 192.0.2.10 AS4200000001 Idle to Established",
			"04:00:12.000123 announce 192.0.2.10 AS4200000001 203.0.113.0/24",
			"04:00:15.000000 announce 2001:db8::10 AS65001 2001:db8:62::/48",
			"04:00:16.000000 announce 192.0.2.10 AS23456 198.51.100.0/24",
			"04:00:17.000000 withdraw 192.0.2.10 AS4200000001 203.0.113.0/24",
		},
		main("0405"): {"04:05:10.000000 state 192.0.2.10 AS4200000001 Established to Idle"},
		main("0410"): nil,
		main("0415"): {"04:15:03.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"},
		"rt1.adj-rib-in-post/2026.11/updates.20261124.0400.gz": {"04:00:12.500000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"},
		"rt1.adj-rib-in-post/2026.11/updates.20261124.0405.gz": {"04:05:10.000000 state 192.0.2.10 AS4200000001 Established to Idle"},
		"rt1.loc-rib/2026.11/updates.20261124.0400.gz": {
			"04:00:13.000000 state 198.51.100.1 AS64512 Idle to Established",
			"04:00:14.000000 announce 198.51.100.1 AS64512 203.0.113.0/24",
		},
	})
	if diff := cmp.Diff([]string{
		main("0400") + ",ribtap,updates,rt1,1795492800,300",
		main("0405") + ",ribtap,updates,rt1,1795493100,300",
		main("0410") + ",ribtap,updates,rt1,1795493400,300",
		main("0415") + ",ribtap,updates,rt1,1795493700,300",
	}, indexLines(t, r.cfg.Dir, "rt1")); diff != "" {
		t.Errorf("csvfile (-want +got):\n%s", diff)
	}
	if r.Position() != 14 {
		t.Errorf("Position %d", r.Position())
	}
	if err := r.Write(context.Background(), nil); !errors.Is(err, errClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestEveryFileAsBgpdumpReadsIt(t *testing.T) {
	for _, compression := range []string{CompressionGzip, CompressionNone} {
		cfg := testConfig(t.TempDir())
		cfg.Compression = compression
		r := newRig(t, cfg, nil)
		r.write(timed(1, []float64{10, 11, 12, 13, 14}, peerEvent(event.KindPeerUp, peerA),
			announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"), announce(peerLoc, event.LocRIB, "203.0.113.0/24"),
			withdraw(peerA, event.AdjRIBInPre, "203.0.113.0/24"), mixedEvent())...)
		r.idle(302) // and an empty one behind it
		r.idle(602)
		r.close()
		want := map[string][]string{
			"rt1/2026.11/updates.20261124.0400": {
				"BGP4MP_ET|1795492810.000000|STATE|192.0.2.10|4200000001|1|6",
				"BGP4MP_ET|1795492811.000000|A|192.0.2.10|4200000001|203.0.113.0/24|65001|IGP|192.0.2.10|0|0||NAG||",
				"BGP4MP_ET|1795492813.000000|W|192.0.2.10|4200000001|203.0.113.0/24",
				"BGP4MP_ET_AP|1795492814.000000|W|192.0.2.10|4200000001|203.0.113.0/24|7",
				"BGP4MP_ET_AP|1795492814.000000|A|192.0.2.10|4200000001|198.51.100.0/24|9|65001|IGP|192.0.2.10|0|0||NAG||",
				"BGP4MP_ET|1795492814.000000|A|192.0.2.10|4200000001|2001:db8:62::/48|65001|IGP|2001:db8::10|0|0||NAG||",
			},
			"rt1/2026.11/updates.20261124.0405":         nil,
			"rt1.loc-rib/2026.11/updates.20261124.0400": {"BGP4MP_ET|1795492812.000000|A|198.51.100.1|64512|203.0.113.0/24|65001|IGP|192.0.2.10|0|0||NAG||"},
		}
		if n := len(archive(t, cfg.Dir)); n != len(want) {
			t.Errorf("%s: %d files", compression, n)
		}
		for name, w := range want {
			got, ok := bgpdump(t, filepath.Join(cfg.Dir, name+endings[compression]))
			if !ok {
				continue
			}
			if diff := cmp.Diff(w, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// mixedEvent is an UPDATE of a session with ADD-PATH for IPv4 unicast alone,
// with routes of both families.
func mixedEvent() event.Event {
	e := announce(peerA, event.AdjRIBInPre, "203.0.113.0/24")
	e.Session.AddPath = e.Session.AddPath.With(bgp.IPv4Unicast)
	id := func(n byte, nlri []byte) []byte { return join([]byte{0, 0, 0, n}, nlri) }
	e.PDU = update(id(7, prefixes("203.0.113.0/24")),
		join(originIGP, asPath(65001), nextHop4, mpReach6(prefixes("2001:db8:62::/48"))), id(9, prefixes("198.51.100.0/24")))
	return e
}

// TestRouteViewsAndZstd goes through the other layout and compression.
func TestRouteViewsAndZstd(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Layout, cfg.Compression, cfg.UpdatesInterval, cfg.Collector = LayoutRouteViews, CompressionZstd, 15*time.Minute, "route-views.test"
	r := newRig(t, cfg, nil)
	r.write(timed(1, []float64{10}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.close()
	name := "route-views.test/bgpdata/2026.11/UPDATES/updates.20261124.0400.zst"
	r.want(map[string][]string{name: {"04:00:10.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"}})
	if diff := cmp.Diff([]string{name + ",ribtap,updates,route-views.test,1795492800,900"}, indexLines(t, cfg.Dir, cfg.Collector)); diff != "" {
		t.Errorf("csvfile (-want +got):\n%s", diff)
	}
}

// TestSameIntervalGoesOn closes and starts again within an interval.
func TestSameIntervalGoesOn(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	r.write(timed(1, []float64{10}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.close()
	name := "rt1/2026.11/updates.20261124.0400.gz"
	first := "04:00:10.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"
	r.want(map[string][]string{name: {first}})
	r.start(nil)
	if r.Position() != 1 {
		t.Errorf("Position %d", r.Position())
	}
	r.write(timed(2, []float64{20}, withdraw(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.close()
	r.want(map[string][]string{name: {first, "04:00:20.000000 withdraw 192.0.2.10 AS4200000001 203.0.113.0/24"}})
	if got := indexLines(t, r.cfg.Dir, "rt1"); len(got) != 1 {
		t.Errorf("csvfile: %q", got)
	}
}

// TestGoesOnBehindDamage keeps what can be read of a finished file.
func TestGoesOnBehindDamage(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Compression = CompressionNone
	r := newRig(t, cfg, nil)
	r.write(timed(1, []float64{10, 11}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"), announce(peerA, event.AdjRIBInPre, "203.0.113.1/32"))...)
	r.close()
	name := "rt1/2026.11/updates.20261124.0400"
	path := filepath.Join(cfg.Dir, name)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	r.start(nil)
	r.write(timed(3, []float64{20}, withdraw(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.close()
	r.want(map[string][]string{name: {
		"04:00:10.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24",
		"04:00:20.000000 withdraw 192.0.2.10 AS4200000001 203.0.113.0/24",
	}})
}

// TestConfigChanges finishes what an earlier configuration began.
func TestConfigChanges(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	r.write(timed(1, []float64{10}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	r.idle(12) // commits; then the process dies
	r.cfg.Compression, r.cfg.UpdatesInterval = CompressionZstd, 15*time.Minute
	r.start(nil)
	r.write(timed(2, []float64{20}, announce(peerA, event.AdjRIBInPre, "203.0.113.1/32"))...)
	r.close()
	r.want(map[string][]string{
		"rt1/2026.11/updates.20261124.0400.gz":  {"04:00:10.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"},
		"rt1/2026.11/updates.20261124.0400.zst": {"04:00:20.000000 announce 192.0.2.10 AS4200000001 203.0.113.1/32"},
	})
}

// TestCatchUp turns over by the events' time, and leaves no files for hours in
// which nothing ran.
func TestCatchUp(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	r.clock.set(at0.Add(3 * time.Hour))
	r.close()
	r.start(nil)
	r.write(timed(1, []float64{10, 3000, 10800}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"),
		announce(peerA, event.AdjRIBInPre, "203.0.113.1/32"), announce(peerA, event.AdjRIBInPre, "203.0.113.2/32"))...)
	r.idle(11402)
	r.close()
	r.want(map[string][]string{
		"rt1/2026.11/updates.20261124.0400.gz": {"04:00:10.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24"},
		"rt1/2026.11/updates.20261124.0450.gz": {"04:50:00.000000 announce 192.0.2.10 AS4200000001 203.0.113.1/32"},
		"rt1/2026.11/updates.20261124.0700.gz": {"07:00:00.000000 announce 192.0.2.10 AS4200000001 203.0.113.2/32"},
		"rt1/2026.11/updates.20261124.0705.gz": nil,
	})
}

// TestClockJumps: a late event goes into the current file, a clock that was
// wrong leaves no thousands of files and does not hold the archive up.
func TestClockJumps(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	year := float64(365 * 24 * 3600)
	r.write(timed(1, []float64{301, 299, 302, 50 * year, 303, 304}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"),
		announce(peerA, event.AdjRIBInPre, "203.0.113.1/32"), announce(peerA, event.AdjRIBInPre, "203.0.113.2/32"),
		announce(peerA, event.AdjRIBInPre, "203.0.113.3/32"), announce(peerA, event.AdjRIBInPre, "203.0.113.4/32"),
		announce(peerA, event.AdjRIBInPre, "203.0.113.5/32"))...)
	r.close()
	r.want(map[string][]string{
		"rt1/2026.11/updates.20261124.0405.gz": {
			"04:05:01.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24",
			"04:04:59.000000 announce 192.0.2.10 AS4200000001 203.0.113.1/32",
			"04:05:02.000000 announce 192.0.2.10 AS4200000001 203.0.113.2/32",
			"04:05:03.000000 announce 192.0.2.10 AS4200000001 203.0.113.4/32",
			"04:05:04.000000 announce 192.0.2.10 AS4200000001 203.0.113.5/32",
		},
		"rt1/2076.11/updates.20761111.0400.gz": {"04:00:00.000000 announce 192.0.2.10 AS4200000001 203.0.113.3/32"},
	})
}

// TestPeersWithoutPeerUp: no STATE_CHANGE will say that their routes are gone.
func TestPeersWithoutPeerUp(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	r.write(timed(1, []float64{10, 20}, announce(peerC, event.AdjRIBInPre, "203.0.113.0/24"),
		inferred(withdraw(peerC, event.AdjRIBInPre, "203.0.113.0/24"), event.CauseSessionLost))...)
	r.close()
	r.want(map[string][]string{"rt1/2026.11/updates.20261124.0400.gz": {
		"04:00:10.000000 announce 192.0.2.30 AS65003 203.0.113.0/24",
		"04:00:20.000000 withdraw 192.0.2.30 AS65003 203.0.113.0/24",
	}})
}

// TestPeerStates: which trees hear of a peer.
func TestPeerStates(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	again := *peerA
	again.Epoch = 2
	other := peerEvent(event.KindPeerDown, peerA)
	other.Flags = event.FlagNonOwner
	deconfigured := peerEvent(event.KindPeerDown, &again)
	deconfigured.Reason, deconfigured.RIB = peerDeconfigured, event.AdjRIBInPost
	r.write(timed(1, []float64{1, 2, 3, 4, 5, 6}, peerEvent(event.KindPeerUp, peerA), announce(peerA, event.AdjRIBInPost, "203.0.113.0/24"),
		other, inferred(peerEvent(event.KindPeerDown, peerA), event.CausePeerReplaced), peerEvent(event.KindPeerUp, &again), deconfigured)...)
	r.close()
	down, up := "state 192.0.2.10 AS4200000001 Established to Idle", "state 192.0.2.10 AS4200000001 Idle to Established"
	r.want(map[string][]string{
		"rt1/2026.11/updates.20261124.0400.gz": {"04:00:01.000000 " + up, "04:00:04.000000 " + down, "04:00:05.000000 " + up},
		"rt1.adj-rib-in-post/2026.11/updates.20261124.0400.gz": {
			"04:00:02.000000 announce 192.0.2.10 AS4200000001 203.0.113.0/24",
			"04:00:04.000000 " + down, "04:00:05.000000 " + up, "04:00:06.000000 " + down,
		},
	})
}

// TestRepeatedEvents: what the archive has is not written again, and said.
func TestRepeatedEvents(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := &clock{t: at0}
	s, err := newSink(testConfig(t.TempDir()), testLog(t), reg, nil, osDisk{}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	batch := timed(1, []float64{10, 11}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"), announce(peerA, event.AdjRIBInPre, "203.0.113.1/32"))
	for range 2 {
		if err := s.Write(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, n := range archive(t, s.cfg.Dir) {
		if len(n) != 2 {
			t.Errorf("%s: %q", name, n)
		}
	}
	want := `
# HELP ribtap_mrt_records_total MRT records written.
# TYPE ribtap_mrt_records_total counter
ribtap_mrt_records_total{record="message"} 2
ribtap_mrt_records_total{record="state-change"} 0
# HELP ribtap_mrt_skipped_total Events, routes and dumps that are not in the archive.
# TYPE ribtap_mrt_skipped_total counter
ribtap_mrt_skipped_total{reason="repeated"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ribtap_mrt_records_total", "ribtap_mrt_skipped_total"); err != nil {
		t.Error(err)
	}
}

func TestPositionIsDurable(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	r.write(timed(1, []float64{10}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))...)
	if r.Position() != 0 {
		t.Errorf("Position %d within a second of the start", r.Position())
	}
	r.idle(10.5)
	if r.Position() != 0 {
		t.Errorf("Position %d after half a second", r.Position())
	}
	r.idle(11.1)
	if r.Position() != 1 {
		t.Errorf("Position %d after a second", r.Position())
	}
	r.close()
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Dir = "" }, "dir"},
		{func(c *Config) { c.Collector = "a/b" }, "collector"},
		{func(c *Config) { c.Collector = ".a" }, "collector"},
		{func(c *Config) { c.Collector = "a,b" }, "collector"},
		{func(c *Config) { c.Layout = "flat" }, "layout"},
		{func(c *Config) { c.UpdatesInterval = 90 * time.Second }, "updates_interval"},
		{func(c *Config) { c.UpdatesInterval = 7 * time.Minute }, "updates_interval"},
		{func(c *Config) { c.RIBInterval = 48 * time.Hour }, "rib_interval"},
		{func(c *Config) { c.Compression = "bzip2" }, "bzip2 can be read but not written"},
		{func(c *Config) { c.Compression = "lzma" }, "compression"},
	} {
		cfg := testConfig("x")
		tt.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.want, err)
		}
	}
	if _, err := New(Config{}, testLog(t), nil, nil); err == nil {
		t.Error("New takes an empty Config")
	}
}

func TestWriteAllocates(t *testing.T) {
	r := newRig(t, testConfig(t.TempDir()), nil)
	batch := timed(1, []float64{10}, announce(peerA, event.AdjRIBInPre, "203.0.113.0/24"))
	post := timed(1, []float64{10}, announce(peerA, event.AdjRIBInPost, "203.0.113.0/24"))
	batch, post = append(batch, mixedEvent()), post[:1]
	batch[0].Sequence, post[0].Sequence = 0, 0
	for _, b := range [][]event.Event{batch, post} {
		n := testing.AllocsPerRun(100, func() {
			if err := r.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	r.close()
}

func BenchmarkWrite(b *testing.B) {
	s, err := New(testConfig(b.TempDir()), testLog(b), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]event.Event, 1000)
	for i := range batch {
		batch[i] = announce(peerA, event.AdjRIBInPre, "203.0.113.0/24")
		batch[i].Received = event.At(time.Now())
	}
	for b.Loop() {
		if err := s.Write(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/event")
	b.StopTimer()
	if err := s.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}
