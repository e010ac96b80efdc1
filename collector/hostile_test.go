package collector

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	dto "github.com/prometheus/client_model/go"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/corpus"
)

// hostileCase is an entry of a corpus of hostile input: octets, and the class
// of behaviour that is right for them.
type hostileCase struct {
	ID       string `json:"id"`
	Proto    string `json:"proto"`
	Context  string `json:"context"`
	File     string `json:"file"`
	Prelude  string `json:"prelude"`
	Sentinel string `json:"sentinel_file"`
	Expect   struct {
		Class    string   `json:"class"`
		Basis    string   `json:"basis"`
		Announce []string `json:"announce"`
		Withdraw []string `json:"withdraw"`
		Absent   []string `json:"absent"`
		Sentinel bool     `json:"sentinel"`
	} `json:"expect"`
}

// kept lists policy cases in which a monitor keeps the route and marks it,
// where a router would treat it as withdrawn or ignore an attribute.
var kept = map[string]string{
	"bgp-attr-aspath-empty-ebgp":    "an empty AS_PATH is recorded as it came",
	"bgp-attr-aspath-as-set":        "RFC 9774 lets an operator accept AS_SETs; a monitor does, with the flag as-set",
	"bgp-attr-nexthop-zero":         "recorded with the flag martian",
	"bgp-mp-nh-martian":             "recorded with the flag martian",
	"bgp-attr-128-attrset-nested":   "ATTR_SET is kept opaque",
	"bgp-attr-23-tunnel-overrun":    "TUNNEL_ENCAP is kept opaque",
	"bgp-attr-40-srv6-subtlv-short": "PREFIX_SID sub-TLVs are kept opaque",
}

// TestCorpusHostile acts out the corpus named by RIBTAP_CORPUS, if any.
func TestCorpusHostile(t *testing.T) {
	dir := corpus.Hostile()
	var manifest struct {
		Sentinel string        `json:"sentinel_prefix"`
		Cases    []hostileCase `json:"cases"`
	}
	if dir != "" {
		text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &manifest); err != nil {
			t.Fatal(err)
		}
	}
	read := func(t *testing.T, name string) []byte {
		if name == "" {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ran := 0
	for _, c := range manifest.Cases {
		octets := read(t, c.File)
		prelude, sentinel := read(t, c.Prelude), read(t, c.Sentinel)
		if c.Proto == "bgp" {
			var ok bool
			if octets, ok = inBMP(c.Context, octets); !ok {
				continue // a case of the BGP session itself
			}
			prelude, sentinel = read(t, "prelude-bmp-"+c.Context+".bin"), read(t, "sentinel-bmp-"+c.Context+".bin")
			c.Expect.Sentinel = true // what resets a BGP session leaves a BMP session alone
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig(t, nil)
				if c.Proto == "mrt" {
					_, err := r.c.ImportMRT(t.Context(), bytes.NewReader(octets), ImportOptions{Router: "file", File: c.File})
					if err != nil {
						t.Fatal(err)
					}
					c.check(t, r, manifest.Sentinel, false)
					return
				}
				f := r.connect("192.0.2.1:40000")
				f.conn.Write(prelude) // the station may close at any octet
				f.conn.Write(octets)
				synctest.Wait()
				closed := false
				select {
				case <-f.done:
					closed = true
				default:
					f.conn.Write(sentinel)
				}
				synctest.Wait()
				c.check(t, r, manifest.Sentinel, closed)
				f.close()
			})
		})
	}
	t.Logf("%d of %d cases", ran, len(manifest.Cases))
}

// inBMP wraps the UPDATEs of a case in Route Monitoring messages.
func inBMP(context string, octets []byte) (out []byte, ok bool) {
	h := &bmp.PeerHeader{Address: netip.MustParseAddr("192.0.2.10"), ASN: 65001, BGPID: netip.MustParseAddr("192.0.2.10"), Seconds: 1_700_000_000}
	switch context {
	case "as2":
		h.Flags |= bmp.FlagA
	case "ibgp":
		h.ASN = 65000
	case "bare", "openconfirm", "err":
		return nil, false
	}
	for len(octets) > 0 {
		msg, rest, err := bgp.SplitMessage(octets, 65535)
		if err != nil || len(msg) == 0 || bgp.MessageType(msg) != bgp.MessageUpdate {
			return nil, false
		}
		out, octets = bmp.AppendRouteMonitoring(out, h, msg), rest
	}
	return out, true
}

// check compares what was heard with what the case expects.
func (c *hostileCase) check(t *testing.T, r *rig, sentinel string, closed bool) {
	announced, withdrawn := map[string]bool{}, map[string]bool{}
	bad := 0
	for i := range r.rec.kept {
		e := &r.rec.kept[i]
		if e.Kind == event.KindUnknown || e.Flags&event.FlagDropped != 0 {
			bad++
		}
		var u bgp.Update
		if e.Kind != event.KindRoute || !e.Update(&u) {
			continue
		}
		for it := u.Routes(); it.Next(); {
			p := string(it.Route().NLRI.AppendText(nil))
			if it.Route().Action == bgp.Announce {
				announced[p] = true
			} else {
				withdrawn[p] = true
			}
		}
	}
	_, keep := kept[c.ID]
	for _, p := range c.Expect.Announce {
		if !announced[p] {
			t.Errorf("%s is not announced", p)
		}
	}
	for _, p := range c.Expect.Withdraw {
		if !withdrawn[p] && !keep {
			t.Errorf("%s is not withdrawn", p)
		}
		if c.Expect.Class == "withdraw" && announced[p] && !keep && !slices.Contains(c.Expect.Announce, p) {
			t.Errorf("%s is announced", p)
		}
	}
	for _, p := range c.Expect.Absent {
		if announced[p] {
			t.Errorf("%s is announced", p)
		}
	}
	if announced[sentinel] != c.Expect.Sentinel {
		t.Errorf("sentinel announced: %t, want %t", announced[sentinel], c.Expect.Sentinel)
	}
	counts := gather(t, r)
	switch c.Expect.Class {
	case "close":
		if c.Proto == "bmp" && !closed {
			t.Error("the session is still open")
		}
	case "ok":
		if bad > 0 {
			t.Errorf("%d messages not read", bad)
		}
	case "drop":
		if bad == 0 && counts["decode_errors"] == 0 {
			t.Error("nothing was dropped")
		}
	case "reset":
		if bad == 0 {
			t.Error("the UPDATE counts")
		}
	case "warn":
		if counts["anomalies"]+counts["decode_errors"]+counts["update_verdicts"] == 0 && c.Expect.Basis != "policy" {
			t.Error("no anomaly was counted")
		}
	case "withdraw", "discard-attr":
		if counts["update_verdicts"] == 0 && !keep {
			t.Error("no verdict was counted")
		}
	}
	if c.Proto == "bmp" && closed && c.Expect.Class != "close" && c.Expect.Class != "partial" {
		t.Error("the session was closed")
	}
}

// gather sums the collector's counters by name.
func gather(t *testing.T, r *rig) map[string]float64 {
	t.Helper()
	reg := r.reg
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		name := strings.TrimSuffix(strings.TrimPrefix(f.GetName(), "ribtap_"), "_total")
		for _, m := range f.GetMetric() {
			out[name] += value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	if c := m.GetCounter(); c != nil {
		return c.GetValue()
	}
	return m.GetGauge().GetValue()
}
