package bgp_test

import (
	"math"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// fuzzSession makes a session of one octet.
func fuzzSession(bits uint8) bgp.Session {
	s := bgp.Session{AS4: bits&1 != 0, ExtendedMessage: bits&2 != 0, Peering: bgp.Peering(bits >> 2 % 3)}
	if bits&0x80 != 0 {
		s.AddPath = math.MaxUint64
	}
	return s
}

// FuzzUpdate: whatever comes, Parse does not panic, its verdict is the strongest
// of its findings, routes are views of the message and not more than it holds,
// an Update that is used again says the same, and every route can be written
// out again.
func FuzzUpdate(f *testing.F) {
	for _, tc := range verdictCases(f) {
		f.Add(tc.msg, uint8(1))
	}
	for _, tc := range layoutCases() {
		f.Add(update(f, "", mpReach(f, tc.family, tc.nextHop, tc.nlri)+origin+path, ""), uint8(1))
		f.Add(update(f, "", mpUnreach(f, tc.family, tc.nlri), ""), uint8(0x81))
	}
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		// Mutations of the header are of no interest: mend it.
		if len(b) >= 19 && len(b) <= 65535 {
			b = message(bgp.MessageUpdate, b[19:])
		}
		s := fuzzSession(bits)
		var fresh bgp.Update
		fresh.Parse(slices.Clip(b), s)
		checkFindings(t, &fresh)
		checkViews(t, &fresh, len(b))

		var used bgp.Update
		used.Parse(update(t, "08 0b", mpUnreach(t, bgp.IPv6Unicast, "")+mpReach(t, bgp.IPv4VPN, nhVPN4, "70"+label+rd1+"0a0101")+wellKnown+"c00800", net24), as4)
		used.Parse(b, s)
		if got, want := routes(&used), routes(&fresh); !slices.Equal(got, want) {
			t.Fatalf("an Update used before has %v, a fresh one %v", got, want)
		}
		if !slices.Equal(used.Findings(), fresh.Findings()) {
			t.Fatalf("an Update used before has %v, a fresh one %v", used.Findings(), fresh.Findings())
		}
		checkRoundTrip(t, &fresh, s)
		for code := range 256 {
			fresh.Attr(uint8(code))
		}
	})
}

func checkFindings(t *testing.T, u *bgp.Update) {
	t.Helper()
	strongest := bgp.VerdictOK
	for _, f := range u.Findings() {
		strongest = max(strongest, f.Verdict)
		if f.Code == 0 || f.Subcode == 0 || f.Reason == "" {
			t.Fatalf("finding %+v", f)
		}
	}
	if strongest != u.Verdict() {
		t.Fatalf("verdict %v with findings %+v", u.Verdict(), u.Findings())
	}
	if _, eor := u.EndOfRIB(); eor && (u.Verdict() == bgp.VerdictSessionReset || len(routes(u)) > 0) {
		t.Fatalf("End-of-RIB with verdict %v and routes %v", u.Verdict(), routes(u))
	}
}

// checkViews holds that what a route points to lies in the message, and that
// the routes together are no larger than it.
func checkViews(t *testing.T, u *bgp.Update, size int) {
	t.Helper()
	total := 0
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		for _, view := range [][]byte{r.NextHop, r.NLRI.Labels, r.NLRI.Raw} {
			if cap(view) != len(view) {
				t.Fatalf("view of %d octets with capacity %d", len(view), cap(view))
			}
		}
		if len(r.NLRI.Raw) == 0 {
			t.Fatal("a route of no octets")
		}
		total += len(r.NLRI.Raw)
		if r.NLRI.HasPathID {
			total += 4
		}
		if r.NLRI.Prefix.IsValid() && r.NLRI.Prefix != r.NLRI.Prefix.Masked() {
			t.Fatalf("prefix %v is not masked", r.NLRI.Prefix)
		}
		if u.Verdict() == bgp.VerdictSessionReset || u.Verdict() == bgp.VerdictTreatAsWithdraw && r.Action == bgp.Announce {
			t.Fatalf("%v under %v", r.Action, u.Verdict())
		}
		if (r.Action == bgp.Announce) == r.TreatAsWithdraw && r.TreatAsWithdraw {
			t.Fatal("an announcement treated as withdraw")
		}
	}
	if total > size {
		t.Fatalf("routes of %d octets in a message of %d", total, size)
	}
}
